"""Every knob of a training run with its default, range, unit and meaning. Defaults follow the paper unless a knob says
otherwise.

The docstring under a field is what a user reads of it: in the comments of every recipe.yaml, in `atonce recipes NAME
--explain`, on the page "Recipes" and in the JSON schema. It says what the knob does and in which unit; default, type
and range follow from the annotation (see `knobs.py`).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("the first number should not be larger than the second")
    return ends


# The text is what `knobs.py` adds to the type in words; pydantic has no use for it.
Range = Annotated[tuple[Positive, Positive], AfterValidator(_ascending), "the first not larger than the second"]


class Section(BaseModel):
    """A part of a recipe: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class FCNConfig(Section):
    """The network: a variant of FCN on VGG-16. Shelhamer et al., PAMI 2017, section 4."""

    stride: Literal[8, 16, 32] = 8
    """Pixels between two scores before the last upsampling: 32 is FCN-32s, 16 is FCN-16s, which adds the scores of
    pool4, 8 is FCN-8s, which adds those of pool3, too."""
    alignment: Literal["same", "caffe"] = "same"
    """Padding and cropping that bring scores onto the pixels. same: images are padded to a multiple of 32 and nothing
    is cropped. caffe: the geometry of the published nets (conv1_1 pads by 100, scores are cropped), for two to three
    times as many operations."""
    skip_scales: Literal["at-once", "unit", "calibrate"] | tuple[Positive, Positive] = "at-once"
    """Factors on (pool4, pool3) before they are scored. at-once: (0.01, 0.0001), made for the original VGG-16. unit:
    (1, 1). calibrate: measured before training from the weights and training pictures at hand. Two
    numbers are factors of your own: [0.02, 0.001]."""
    head_scale: Positive | Literal["calibrate"] = 1.0
    """Factor on pool5 before fc6: 1 with pretrained fc6 and fc7. calibrate, for fc6 and fc7 that start fresh: measured,
    so that the input of fc6 has a mean square of 1."""
    upsampling: Literal["fixed", "learned"] = "fixed"
    """Interpolation of the scores. fixed: bilinear, as in the authors' release. learned: transposed convolutions that
    are trained from where upsampling_init lets them start."""
    upsampling_init: Literal["bilinear", "normal"] = "bilinear"
    """Initial kernels of learned upsampling. bilinear: interpolation of each class by itself. normal: truncated normal,
    see upsampling_init_sigma; scores then start close to zero at every pixel, and the network has to learn to
    interpolate, which takes it longer. In a staged training those of a later stage start bilinear, so that it begins
    with the predictions of the one before."""
    upsampling_init_sigma: Positive = 0.1
    """Standard deviation of the truncated normal of upsampling_init, which is cut at two of them; unused otherwise. Of
    0.001, 0.01, 0.1 and 0.3, 0.1 learned fastest on CamVid, and bilinear faster than any (page
    "What makes an FCN-8s train: measured")."""
    width: Annotated[float, Field(gt=0, le=16)] = 1.0
    """Factor on the channels of the trunk, which are 64 to 512; below 1 for small trunks, which have no pretrained
    weights. Each count is rounded to a multiple of 8."""
    head_width: Annotated[int, Field(ge=1, le=65536)] = 4096
    """Channels of fc6 and fc7: 4096 in the paper; 512 to 1024 are enough where they start fresh."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Probability that an activation of fc6 or fc7 is dropped while training; 0 is no dropout."""
    trunk_init: Literal["he", "data"] = "he"
    """Initial weights of a trunk without pretrained ones. he: He normal (He et al., ICCV 2015). data: that, and then
    every channel brought to zero mean and unit variance on training pictures (Krähenbühl et al., ICLR 2016), which is
    better after short runs."""
    score_init: Literal["zeros", "normal", "glorot"] = "normal"
    """Initial weights of the 1x1 score layers. zeros: as in the authors' Caffe solver. normal: truncated normal, see
    score_init_sigma. glorot: Glorot uniform, also called Xavier (Glorot and Bengio, AISTATS 2010)."""
    score_init_sigma: Positive = 0.01
    """Standard deviation of the truncated normal of score_init, which is cut at two of them; unused otherwise."""
    freeze_trunk: bool = False
    """Do not train the five convolution blocks; the paper trains everything."""

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
    """The data set, how it is split, the size at which the network sees it, and how it is read."""

    format: str | None = None
    """Layout of the data set, a name on the page "Your own data" such as coco, labelme or folder; null recognises it
    from the folder."""
    images: str | None = None
    """Folder of the pictures, relative to the data set or absolute, where the layout is none that is known; together
    with data.masks. null: found by the layout."""
    masks: str | None = None
    """Folder of the masks, likewise; pictures and masks pair by name."""
    ground_truth: Literal["road", "lane"] | None = None
    """KITTI road only. road: the whole road. lane: the lane that the car drives in. null: road."""
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the pictures kept for validation where the data set brings no split."""
    split_seed: Seed = 0
    """Random seed of that split."""
    bands: tuple[Count] | tuple[Count, Count, Count] | None = None
    """Bands of the pictures that are read, counted from 1, in training and in use: three as red, green and blue, such
    as (4, 3, 2), or one as grey; null: the first three."""
    scale: Annotated[float, Field(gt=0, le=16)] = 1.0
    """Factor on height and width of each picture before the network sees it, in training and in use; predictions are
    scaled back."""
    max_side: Count | None = None
    """Longest side of a picture that the network sees, in pixels: where data.scale leaves a longer one, the picture is
    scaled down to it; null sets no limit."""
    size: tuple[Count, Count] | None = None
    """Height and width, in pixels, to which each picture is brought before the network sees it, in training and in use,
    whatever its own proportions; predictions are scaled back. data.scale and data.max_side then count for nothing.
    null: they say the size."""
    crop: tuple[Count, Count] = (360, 480)
    """Height and width of training crops, in pixels; smaller where no picture becomes that large."""
    workers: Annotated[int, Field(ge=0)] = 2
    """Threads that decode pictures ahead of the training; 0 counts as 1."""
    cache: Literal["memory", "disk"] = "memory"
    """Store of decoded training pictures for the epochs to come. memory: that of each process. disk: memory-mapped
    files in the run folder, shared by its processes, kept while the run may be resumed."""
    cache_mib: Annotated[int, Field(ge=0)] = 1024
    """Capacity of that cache in MiB, per process in memory, per run on disk; pictures beyond it are decoded anew in
    each epoch. 0 keeps none."""


class AugmentConfig(Section):
    """Augmentation: random changes to training pictures and masks together, drawn anew for each picture and epoch."""

    scale: Range = (1.0, 1.0)
    """Smallest and largest factor of the random zoom, on top of data.scale; drawn uniformly in its logarithm. (1, 1) is
    no zoom."""
    flip: Probability = 0.5
    """Probability of a horizontal mirror image."""
    flip_vertical: Probability = 0.0
    """Probability of an upside-down mirror image, for pictures without an up and a down, such as aerial ones."""
    quarter_turns: Probability = 0.0
    """Probability of a turn by one, two or three quarters, each as likely as the others; likewise for aerial pictures.
    0.75 makes all four directions equally frequent."""
    balanced_crops: Probability = 0.0
    """Share of the crops that show a class chosen among those of the picture, a small one as likely as a large one; the
    other crops lie anywhere in the picture."""
    rotate: NonNegative = 0.0
    """Largest rotation, in degrees, to either side."""
    brightness: NonNegative = 0.0
    """Largest relative change of brightness: 0.2 draws factors from 0.8 to 1.2."""
    contrast: NonNegative = 0.0
    """Largest relative change of contrast: 0.2 draws factors from 0.8 to 1.2."""
    saturation: NonNegative = 0.0
    """Largest relative change of saturation: 0.2 draws factors from 0.8 to 1.2."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Largest shift of hue to either side, in turns of the colour circle."""


MASK_LOSSES = ("cross_entropy", "focal", "dice", "lovasz")
"""The losses that compare with the masks, by the knobs that are their factors."""


class LossConfig(Section):
    """The loss: cross entropy over the class axis, averaged over the valid pixels of the global batch, plus L2; and,
    where their factors are above 0, other losses beside it. Void counts in none of them."""

    cross_entropy: NonNegative = 1.0
    """Factor on the cross entropy."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a pixel's label that is spread evenly over all classes, in the cross entropy (Szegedy et al., CVPR 2016,
    section 7)."""
    focal: NonNegative = 0.0
    """Factor on the focal loss (Lin et al., ICCV 2017): the cross entropy of each pixel, times the class's weight and
    (1 - probability of its class) ** focal_gamma, averaged as the cross entropy is."""
    focal_gamma: Annotated[float, Field(ge=1, le=10)] = 2.0
    """Exponent of the focal loss; the larger, the less pixels count that are right already. Unused where focal is 0."""
    dice: NonNegative = 0.0
    """Factor on the Dice loss: 1 - Dice coefficient of probabilities and mask, averaged over the classes that a picture
    shows, and over the pictures of the batch (Milletari et al., 3DV 2016)."""
    lovasz: NonNegative = 0.0
    """Factor on the Lovász-Softmax loss, a surrogate of 1 - IoU, averaged likewise (Berman et al., CVPR 2018)."""
    class_weights: Literal["none", "median-frequency", "sqrt-median-frequency"] | tuple[NonNegative, ...] = "none"
    """Weight of each class in the cross entropy. none: all 1. median-frequency: computed from the training masks by
    median frequency balancing (Eigen and Fergus, ICCV 2015). sqrt-median-frequency: the square roots of those weights.
    Numbers: one per class, in the order of the classes."""
    max_class_weight: Positive = 10.0
    """Largest class weight: computed weights above it are cut to it."""
    logit_adjustment: Probability = 0.0
    """Logit adjustment for class weights: in cross entropy and focal loss each class's logit gets this factor times the
    logarithm of its weight (after Menon et al., ICLR 2021). Weights let rare classes learn sooner, but a network that
    has learned with them predicts these too often; with 1 the loss is least where it gives the classes their true
    probabilities, with 0 where these are multiplied by the weights. Counts for nothing where class_weights is none."""
    l2: NonNegative = 5e-4
    """Coefficient of the L2 term, half the squared norm of all convolution kernels; what Caffe calls weight_decay.
    0 leaves the term out."""
    l2_added: bool = True
    """Add the L2 term to the loss that is minimised. false only logs it: the mistake of declaring a regulariser and
    forgetting to add it."""
    l2_on: Literal["all", "added"] = "all"
    """The kernels in the L2 term. all: every trained convolution kernel. added: those of the layers that are added to
    VGG-16, the 1x1 score layers and learned upsampling; fc6 and fc7 are VGG-16's own."""

    @model_validator(mode="after")
    def _some_loss(self) -> LossConfig:
        if not any(getattr(self, name) for name in MASK_LOSSES):
            raise ValueError(f"one of {', '.join(MASK_LOSSES[:-1])} and {MASK_LOSSES[-1]} should be above 0")
        return self


class DistillConfig(Section):
    """Distillation: a trained network as a teacher beside the masks; without one nothing in this section counts.

    Minimised is (1 - weight) * cross entropy + weight * temperature^2 * KL(teacher || student), plus L2 (Hinton et al.,
    "Distilling the Knowledge in a Neural Network", 2015).
    """

    teacher: str | None = None
    """Path of the teacher: a model file of atonce, of any size, with the classes of the data; null trains on the masks
    alone."""
    weight: Probability = 0.5
    """Share of the teacher in the loss; the masks have the rest."""
    temperature: Positive = 2.0
    """Divisor of both networks' logits before they are compared; above 1, the classes that the teacher finds unlikely
    count for more."""


class OptimConfig(Section):
    """Optimiser, learning rate and its schedule, gradient clipping, averaging of the weights."""

    name: Literal["sgd", "adam", "adamw", "muon"] = "sgd"
    """Optimiser. sgd: with momentum, as in the paper. adam: Adam. adamw: Adam with decoupled weight decay. muon:
    orthogonalised steps for the kernels of trunk and head, adamw for score layers and biases (see training/muon.py);
    the fastest to converge where the trunk starts fresh."""
    lr: Positive = 1e-4
    """Peak learning rate of kernels outside the trunk."""
    trunk_lr_multiplier: Positive = 1.0
    """Factor on the learning rate of the five convolution blocks; below 1 protects pretrained weights."""
    trunk_lr_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Layer-wise learning rates: factor from each block of the trunk to the one before it, so that what is general
    changes least; block 5 has that of trunk_lr_multiplier, block 1 that times trunk_lr_decay ** 4."""
    bias_lr_multiplier: Positive = 2.0
    """Factor on the learning rate of biases; 2 in the authors' solver."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd and muon; beta1 of adam and adamw."""
    weight_decay: NonNegative = 0.0
    """Coefficient of the decoupled weight decay of kernels, adamw and muon only; the L2 term of the loss is loss.l2."""
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    """Learning rate schedule after the warm-up. poly: (1 - step / steps) ** poly_power. cosine: half a cosine wave down
    to 0. constant: the peak until the end."""
    poly_power: Positive = 0.9
    """Exponent of the poly schedule; unused otherwise."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Longest warm-up, in steps: the learning rate rises linearly to its peak over so many, but over no more than a
    tenth of the run (staged: of each stage), be it steps or max_minutes that end it. With w = the smaller of
    warmup_steps and a tenth of the steps, the factor on the peak at step i = 0, 1, ... is the larger of
    (i + 1) / (w + 1) and 10 times the share of the run that is done; after w steps, or that tenth, the schedule's."""
    clip_norm: Positive | None = None
    """Gradient clipping: largest norm of the gradient of all weights together; null does not clip."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Exponential moving average of the weights, which is then what is validated and saved: its decay per step, smaller
    in the first steps. 0 keeps none."""


class TrainConfig(Section):
    """Length of the training, size of the batches, memory and arithmetic, validation and saving."""

    steps: Count = 1000
    """Length of the training, in steps: updates of the weights. Counts for nothing where train.epochs is a number."""
    epochs: Positive | None = None
    """Length of the training, in epochs: passes over the training pictures; another way to say train.steps, which is
    then epochs * pictures / batch_size, rounded up. null: train.steps says it."""
    batch_size: Count = 2
    """Pictures per step, over all processes and accumulated parts together."""
    accumulate: Count = 1
    """Gradient accumulation: parts into which each process cuts its share of the batch; more parts need less memory.
    batch_size must be a multiple of parts times processes."""
    activation_checkpointing: bool = False
    """Keep of the forward pass only what goes into each block of the trunk and into the head, and compute the rest
    again in the backward pass: the same gradients, about a third less memory at the peak, a forward pass more.
    Where the batch is larger than one picture, accumulate saves more."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward pass; weights stay fp32. auto: bf16 where the hardware multiplies it faster, else fp32.
    fp16 needs CUDA."""
    validate_every: Count | None = None
    """Steps between validations; the model with the best mean IoU is kept as model.safetensors. null follows the
    length, be it steps or max_minutes that end the run: a validation at the end of each of its equal parts, which are
    of 200 steps or 5 minutes, whichever gives fewer, but 5 parts at least and 20 at most."""
    save_every: Count | None = None
    """Steps between saved states, from which an interrupted run resumes. null follows the length: a state at the end of
    each part, as for validate_every."""
    log_every: Count = 10
    """Steps between lines of log.jsonl; where validate_every is null, there is one at each validation, too."""
    pictures: Annotated[int, Field(ge=0)] = 4
    """Number of validation pictures that are drawn with their predictions at each validation."""
    track: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ()
    """Experiment trackers that are fed as the run goes: tensorboard, into the run folder; mlflow and wandb, where their
    own settings say (page "Experiment trackers"). Each needs the extra of its name."""
    max_minutes: Positive | None = None
    """Longest training time, in minutes, over all sessions of a run; the learning rate schedule comes to its end with
    it. Reading the data, calibration and the last validation and evaluation come on top. null: only steps count."""
    patience: Count | None = None
    """Early stopping: validations in a row without a better mean IoU after which the run ends, as at its end; of a
    staged training, in the last stage. The learning rate schedule is then cut off. null: never."""
    seed: Seed = 0
    """Random seed of initialisation, data order, augmentation and dropout."""

    def with_steps_of_epochs(self, pictures: int) -> TrainConfig:
        """Return the same knobs with the steps that `epochs` stand for; unchanged where there are none.

        Args:
            pictures: the number of training pictures.
        """
        if self.epochs is None:
            return self
        # A hair of tolerance: 0.1 * 30 pictures are 3.0000000000000004.
        steps = math.ceil(self.epochs * pictures / self.batch_size - 1e-9)
        return self.model_copy(update={"steps": max(1, steps)})


Three = tuple[Positive, Positive, Positive]


class StagesConfig(Section):
    """The stages of `schedule: staged`; with a model.stride of 16 there are two, with 32 one."""

    shares: Three = (1.0, 1.0, 1.0)
    """Lengths of the stages FCN-32s, FCN-16s and FCN-8s, relative to each other; train.steps is their sum."""
    lr_factors: Three = (1.0, 0.01, 0.0001)
    """Factors on the learning rate in the stages FCN-32s, FCN-16s and FCN-8s: 100 less each time as in the authors'
    solvers, which is for SGD and unscaled skips (model.skip_scales: unit). Adam, or scaled skips, want a smaller fall,
    such as 1, 0.5, 0.25."""


class Recipe(Section):
    """All that a training run is made of."""

    weights: str | None = None
    """Pretrained VGG-16: a file or folder of PyTorch, timm, Keras, TensorFlow, Caffe or NumPy (page "Weights"), or a
    name (`atonce weights list`); null starts from scratch."""
    schedule: Literal["at-once", "staged"] = "at-once"
    """at-once trains all score layers together. staged trains an FCN-32s, then an FCN-16s from it, then an FCN-8s from
    that, each with a fresh optimiser and its own learning rate schedule; the paper stages with model.skip_scales: unit,
    and calibrate measures once, before the first stage."""
    stages: StagesConfig = StagesConfig()
    model: FCNConfig = FCNConfig()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    distill: DistillConfig = DistillConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
