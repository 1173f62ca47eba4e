#!/bin/sh
# The studies of docs/experiments.md in the small setting, one after the other:
#   sh benchmarks/studies/run.sh path/to/CamVid vgg16_features.pth runs/studies
# A study that was stopped goes on where it was. ATONCE (default: atonce) is the command.
set -eu
data=$1 weights=$2 out=$3
here=$(dirname "$0")

study() { # NAME STEPS VALIDATE_EVERY SEEDS [OPTIONS ...]
    name=$1 steps=$2 every=$3 seeds=$4
    shift 4
    date "+%H:%M:%S $name"
    ${ATONCE:-atonce} ablate "$data" --study "$here/$name.yaml" --recipe "$here/small-setting.yaml" \
        --weights "$weights" --seeds "$seeds" --out "$out/$name" --set "train.steps=$steps" --set "train.validate_every=$every" "$@"
}

for each in ${STUDIES:-sgd-rates scales-adam long-adam scales-sgd upsampling upsampling-faster long-sgd l2}; do
    case $each in
        sgd-rates) study sgd-rates 50 50 1 ;;
        scales-adam) study scales-adam 360 120 1 ;;
        scales-sgd) study scales-sgd 120 120 1 ;;
        long-adam) study long-adam 720 120 1 ;;
        upsampling) study upsampling 60 60 1 ;;
        upsampling-faster)
            study upsampling-faster 150 150 1 --set optim.lr=1e-3 --set model.upsampling=learned \
                --set model.freeze_trunk=true --set model.score_init=normal --set model.score_init_sigma=0.001
            ;;
        long-sgd) study long-sgd 240 60 1 ;;
        l2) study l2 240 120 1 ;;
    esac
done
