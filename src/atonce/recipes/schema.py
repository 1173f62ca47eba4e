"""Every knob, its unit, its meaning. Defaults follow the paper unless the knob says otherwise."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("the first number should not be larger than the second")
    return ends


Range = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]


class Section(BaseModel):
    """A part of a recipe: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class FCNConfig(Section):
    """The network: a variant of FCN on VGG-16. Shelhamer et al., PAMI 2016, section 4."""

    stride: Literal[8, 16, 32] = 8
    """Pixels between scores before the last upsampling: FCN-32s, FCN-16s or FCN-8s."""
    alignment: Literal["same", "caffe"] = "same"
    """same: pad to a multiple of 32, no waste. caffe: the published nets' geometry (pad by 100, crop)."""
    skip_scales: Literal["at-once", "unit", "calibrate"] | tuple[Positive, Positive] = "at-once"
    """Factors on (pool4, pool3) before they are scored: at-once is (0.01, 0.0001), made for the original VGG-16;
    unit is (1, 1); calibrate measures them from the weights and the training pictures at hand."""
    head_scale: Positive | Literal["calibrate"] = 1.0
    """Factor on pool5 before fc6: 1 with pretrained fc6 and fc7; calibrate where they start fresh."""
    upsampling: Literal["fixed", "learned"] = "fixed"
    """fixed: bilinear, as in the authors' release. learned: transposed convolutions that start bilinear."""
    width: Positive = 1.0
    """Factor on the channels of the trunk (64 to 512); below 1 for small trunks without pretrained weights."""
    head_width: Count = 4096
    """Channels of fc6 and fc7: 4096 in the paper; 512 to 1024 is enough where they start fresh."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Probability that a channel's value at a place of fc6 or fc7 is dropped while training."""
    trunk_init: Literal["he", "data"] = "he"
    """Start of a trunk without pretrained weights: He's normal, or that and then every channel brought to zero mean
    and unit variance on training pictures, which learns faster in short runs."""
    score_init: Literal["zeros", "normal", "glorot"] = "normal"
    """Start of the score layers: zeros as in Caffe, truncated normal, or Glorot uniform."""
    score_init_sigma: Positive = 0.01
    """Standard deviation of the truncated normal (cut at two of them)."""
    freeze_trunk: bool = False
    """Keep the five convolution blocks as they are; the paper trains everything."""

    @property
    def skips(self) -> tuple[int, ...]:
        """The pools that are scored beside fc7, in the order in which their scores are added: (4, 3) for FCN-8s, (4,)
        for FCN-16s, () for FCN-32s. Pool p has one position for every 2**p pixels."""
        return tuple(pool for pool in (4, 3) if 2**pool >= self.stride)

    @property
    def caffe_geometry(self) -> bool:
        """True for the geometry of the authors' Caffe nets: conv1_1 pads by 100, pooling rounds up, fc6 is not padded,
        scores are cropped. False where images are padded to a multiple of 32 and nothing is cropped."""
        return self.alignment == "caffe"


class DataConfig(Section):
    """Which data, how it is split and at which size the network sees it."""

    format: str | None = None
    """camvid, kitti-road, folder, cityscapes or voc; null recognises it from the folder."""
    ground_truth: Literal["road", "lane"] | None = None
    """KITTI road only: the whole road (its default), or the lane that the car drives in."""
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the pictures kept for validation where the data set brings no split."""
    split_seed: Seed = 0
    """Seed of that split."""
    scale: Positive = 1.0
    """Pictures are scaled by this before the network sees them; predictions are scaled back."""
    max_side: Count | None = None
    """Pictures whose longer side would still exceed this many pixels are scaled down to it."""
    crop: tuple[Count, Count] = (360, 480)
    """Height and width of training crops, in pixels."""
    workers: Annotated[int, Field(ge=0)] = 2
    """Threads that decode pictures ahead of the training; there is always one."""
    cache: Literal["memory", "disk"] = "memory"
    """Where decoded training pictures are kept for the epochs to come. memory: in that of each process. disk: in
    memory-mapped files in the run directory, shared by its processes, kept while the run may be resumed."""
    cache_mib: Annotated[int, Field(ge=0)] = 1024
    """Room for them in MiB, per process in memory, per run on disk; what does not fit is decoded anew each epoch."""


class AugmentConfig(Section):
    """Random changes to training pictures and masks together, on the batch."""

    scale: Range = (1.0, 1.0)
    """Range of random zoom, relative to data.scale; drawn evenly in its logarithm."""
    flip: Probability = 0.5
    """Probability of a horizontal mirror image."""
    rotate: NonNegative = 0.0
    """Largest rotation, in degrees to either side."""
    brightness: NonNegative = 0.0
    """Largest relative change of brightness (0.2: factors 0.8 to 1.2)."""
    contrast: NonNegative = 0.0
    """Largest relative change of contrast."""
    saturation: NonNegative = 0.0
    """Largest relative change of saturation."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Largest shift of hue, in turns of the colour circle."""


class LossConfig(Section):
    """Cross entropy over the class axis, averaged over the valid pixels of the global batch, plus L2."""

    class_weights: Literal["none", "median-frequency", "sqrt-median-frequency"] | tuple[NonNegative, ...] = "none"
    """Weight of each class, or how to compute it from the training masks (Eigen and Fergus, ICCV 2015)."""
    max_class_weight: Positive = 10.0
    """Computed weights are cut at this."""
    l2: NonNegative = 5e-4
    """Coefficient of half the squared norm of all convolution kernels; what Caffe calls weight_decay."""
    l2_added: bool = True
    """false logs the term but leaves it out of what is minimised: the mistake of declaring a regulariser only."""


class DistillConfig(Section):
    """A trained network as a second teacher beside the masks; without one, nothing of this section counts.

    Minimised is (1 - weight) * cross entropy + weight * temperature^2 * KL(teacher || student), plus L2 (Hinton et al.,
    "Distilling the Knowledge in a Neural Network", 2015).
    """

    teacher: str | None = None
    """A model file of atonce, of any size, with the classes of the data; null learns from the masks alone."""
    weight: Probability = 0.5
    """Share of what the teacher says in the loss; the masks have the rest."""
    temperature: Positive = 2.0
    """Divides both networks' logits before they are compared; above 1, the classes that the teacher finds unlikely
    count for more."""


class OptimConfig(Section):
    """Optimiser, learning rate and its course, clipping, averaging."""

    name: Literal["sgd", "adam", "adamw", "muon"] = "sgd"
    """sgd has momentum. muon learns fastest where the trunk starts fresh: kernels take orthogonal steps (see
    train/muon.py), score layers and biases those of adamw."""
    lr: Positive = 1e-4
    """Peak learning rate of kernels outside the trunk."""
    trunk_lr_multiplier: Positive = 1.0
    """Factor on the learning rate of the five convolution blocks; below 1 protects pretrained weights."""
    bias_lr_multiplier: Positive = 2.0
    """Factor on the learning rate of biases; 2 in the authors' solver."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd and muon; the first beta of adam and adamw."""
    weight_decay: NonNegative = 0.0
    """Decoupled decay of kernels, adamw and muon only; the L2 term is loss.l2."""
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    """Course of the learning rate after the warm-up."""
    poly_power: Positive = 0.9
    """Exponent of the poly schedule, (1 - step / steps) ** power."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps over which the learning rate rises linearly to its peak."""
    clip_norm: Positive | None = None
    """Largest norm of the gradient of all weights together; null does not clip."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay per step of the moving average of the weights that is validated and saved; 0 keeps none."""


class TrainConfig(Section):
    """How long, how large, how often."""

    steps: Count = 1000
    """Updates of the weights."""
    batch_size: Count = 2
    """Pictures per update, over all processes and accumulated parts together."""
    accumulate: Count = 1
    """Parts into which each process cuts its share of the batch; more parts need less memory."""
    checkpoint: bool = False
    """Keep of the forward pass only what goes into each block of the trunk and into the head, and compute the rest
    again in the backward pass: the same gradients, about a third less memory at the peak, a forward pass more.
    Where the batch is larger than one picture, accumulate saves more."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward pass; weights stay fp32. auto: bf16 where the hardware is made for it."""
    validate_every: Count = 200
    """Steps between validations; the best mean IoU is kept as model.safetensors."""
    save_every: Count = 200
    """Steps between saved states, from which a run is resumed."""
    log_every: Count = 10
    """Steps between lines of log.jsonl."""
    pictures: Annotated[int, Field(ge=0)] = 4
    """Validation pictures drawn at each validation."""
    max_minutes: Positive | None = None
    """Stop after this time at the latest; the learning rate comes to its end with it. null: only steps count."""
    seed: Seed = 0
    """Seed of initialisation, data order, augmentation and dropout."""


Three = tuple[Positive, Positive, Positive]


class StagesConfig(Section):
    """The stages of `schedule: staged`; with a model.stride of 16 there are two, with 32 one."""

    shares: Three = (1.0, 1.0, 1.0)
    """Lengths of the stages FCN-32s, FCN-16s and FCN-8s, relative to each other; train.steps is their sum."""
    lr_factors: Three = (1.0, 0.01, 0.0001)
    """Factors on the learning rate by stage: 100 less each time as in the authors' solvers, which is for SGD and
    unscaled skips (model.skip_scales: unit). Adam, or scaled skips, want a smaller fall, such as 1, 0.5, 0.25."""


class Recipe(Section):
    """All that a training run is made of."""

    weights: str | None = None
    """Pretrained VGG-16: a file (.pth, .safetensors) or a name (`atonce weights list`); null starts afresh."""
    schedule: Literal["at-once", "staged"] = "at-once"
    """at-once trains all score layers together. staged trains an FCN-32s, then an FCN-16s from it, then an FCN-8s from
    that, each with a fresh optimiser and its own course of the learning rate; the paper stages with
    model.skip_scales: unit, and calibrate measures once, before the first stage."""
    stages: StagesConfig = StagesConfig()
    model: FCNConfig = FCNConfig()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    distill: DistillConfig = DistillConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
