#!/bin/sh
# The studies of docs/experiments.md in the small setting, one after the other:
#   sh benchmarks/studies/run.sh path/to/CamVid vgg16_features.pth runs/studies
# A study that was stopped goes on where it was. ATONCE (default: atonce) is the command.
set -eu
data=$1 weights=$2 out=$3
here=$(dirname "$0")

study() { # NAME STEPS VALIDATE_EVERY SEEDS
    date "+%H:%M:%S $1"
    ${ATONCE:-atonce} ablate "$data" --study "$here/$1.yaml" --recipe "$here/small-setting.yaml" \
        --weights "$weights" --seeds "$4" --out "$out/$1" --set "train.steps=$2" --set "train.validate_every=$3"
}

for name in ${STUDIES:-sgd-rates scales-adam long-adam scales-sgd upsampling long-sgd}; do
    case $name in
        sgd-rates) study sgd-rates 50 50 1 ;;
        scales-adam) study scales-adam 360 120 1 ;;
        scales-sgd) study scales-sgd 120 120 1 ;;
        long-adam) study long-adam 720 120 1 ;;
        upsampling) study upsampling 60 60 1 ;;
        long-sgd) study long-sgd 360 120 1 ;;
    esac
done
