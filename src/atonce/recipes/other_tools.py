"""The words that other tools have for our knobs, for whoever brings a recipe or a habit from there.

Sources: the student project's main.py, TensorFlow and Keras, Caffe's solver.prototxt, PyTorch and Lightning,
segmentation_models.pytorch, MMSegmentation, Hugging Face's Trainer.
"""

from __future__ import annotations

_WORDS: dict[str, str] = {
    # word -> our knob, and a remark where the two do not count alike
    "keep_prob": "model.dropout|1 - keep_prob",
    "keep_probability": "model.dropout|1 - keep_prob",
    "dropout_rate": "model.dropout",
    "dropout_ratio": "model.dropout",
    "dropout_prob": "model.dropout",
    "epoch": "train.epochs",
    "num_epochs": "train.epochs",
    "n_epochs": "train.epochs",
    "max_epochs": "train.epochs",
    "num_train_epochs": "train.epochs",
    "iterations": "train.steps",
    "max_iter": "train.steps",
    "max_iters": "train.steps",
    "num_iterations": "train.steps",
    "max_steps": "train.steps",
    "num_steps": "train.steps",
    "total_steps": "train.steps",
    "test_interval": "train.validate_every",
    "eval_steps": "train.validate_every",
    "val_interval": "train.validate_every",
    "snapshot": "train.save_every",
    "save_steps": "train.save_every",
    "display": "train.log_every",
    "logging_steps": "train.log_every",
    "learning_rate": "optim.lr",
    "base_lr": "optim.lr",
    "init_lr": "optim.lr",
    "initial_learning_rate": "optim.lr",
    "lr0": "optim.lr",
    "lr_policy": "optim.schedule",
    "lr_schedule": "optim.schedule",
    "lr_scheduler": "optim.schedule",
    "lr_scheduler_type": "optim.schedule",
    "power": "optim.poly_power",
    "optimizer": "optim.name",
    "optimiser": "optim.name",
    "solver": "optim.name",
    "solver_type": "optim.name",
    "beta1": "optim.momentum",
    "warmup_iters": "optim.warmup_steps",
    "warmup": "optim.warmup_steps",
    "grad_clip": "optim.clip_norm",
    "gradient_clip_val": "optim.clip_norm",
    "max_grad_norm": "optim.clip_norm",
    "clip_gradients": "optim.clip_norm",
    "reg": "loss.l2",
    "l2_scale": "loss.l2",
    "l2_reg": "loss.l2",
    "l2_regularization": "loss.l2",
    "regularization": "loss.l2",
    "reg_constant": "loss.l2",
    "kernel_regularizer": "loss.l2",
    "kernel_initializer": "model.score_init",
    "init_stddev": "model.score_init_sigma",
    "stddev": "model.score_init_sigma",
    "class_weight": "loss.class_weights",
    "loss_weights": "loss.class_weights",
    "image_shape": "data.size",
    "img_shape": "data.size",
    "image_size": "data.size",
    "img_size": "data.size",
    "imgsz": "data.size",
    "input_size": "data.size",
    "input_shape": "data.size",
    "target_size": "data.size",
    "resize": "data.size",
    "crop_size": "data.crop",
    "validation_split": "data.val_fraction",
    "val_split": "data.val_fraction",
    "test_size": "data.val_fraction",
    "num_workers": "data.workers",
    "dataset": "data.format",
    "batchsize": "train.batch_size",
    "batch": "train.batch_size",
    "per_device_train_batch_size": "train.batch_size",
    "iter_size": "train.accumulate",
    "gradient_accumulation_steps": "train.accumulate",
    "accumulate_grad_batches": "train.accumulate",
    "amp": "train.precision",
    "mixed_precision": "train.precision",
    "fp16": "train.precision",
    "bf16": "train.precision",
    "gradient_checkpointing": "train.activation_checkpointing",
    "early_stopping": "train.patience",
    "early_stopping_patience": "train.patience",
    "random_seed": "train.seed",
    "random_state": "train.seed",
    "hflip": "augment.flip",
    "horizontal_flip": "augment.flip",
    "random_flip": "augment.flip",
    "vflip": "augment.flip_vertical",
    "vertical_flip": "augment.flip_vertical",
    "rot90": "augment.quarter_turns",
    "rotation": "augment.rotate",
    "rotation_range": "augment.rotate",
    "zoom_range": "augment.scale",
    "ratio_range": "augment.scale",
    "pretrained": "weights",
    "pretrained_weights": "weights",
    "vgg_path": "weights",
    "encoder_weights": "weights",
    "init_from": "weights",
    "freeze_backbone": "model.freeze_trunk",
    "freeze_encoder": "model.freeze_trunk",
    "output_stride": "model.stride",
    "ema": "optim.ema_decay",
    "layer_decay": "optim.trunk_lr_decay",
    "dice_weight": "loss.dice",
    "focal_weight": "loss.focal",
    "gamma": "loss.focal_gamma",
}

_ELSEWHERE: dict[str, str] = {
    # word -> why there is no knob for it
    "num_classes": "no knob here: the classes are those of the data, or of its classes.yaml",
    "n_classes": "no knob here: the classes are those of the data, or of its classes.yaml",
    "nclass": "no knob here: the classes are those of the data, or of its classes.yaml",
    "class_names": "no knob here: the classes are those of the data, or of its classes.yaml",
    "classes": "no knob here: the classes are those of the data, or of its classes.yaml",
    "ignore_index": "no knob here: void is 255, and classes.yaml says which values are void",
    "ignore_label": "no knob here: void is 255, and classes.yaml says which values are void",
    "mean": "no knob here: the weights bring their preprocessing, and the model file keeps it",
    "std": "no knob here: the weights bring their preprocessing, and the model file keeps it",
    "data_dir": "no knob here: the folder of the data stands behind `atonce train`",
    "runs_dir": "no knob here: the run folder is given to `atonce train` as `out`",
    "device": "no knob here: the first GPU is taken where there is one",
    "backbone": "no knob here: the trunk is VGG-16; model.width makes it narrower",
    "encoder": "no knob here: the trunk is VGG-16; model.width makes it narrower",
    "encoder_name": "no knob here: the trunk is VGG-16; model.width makes it narrower",
}


def knob_for(word: str) -> str | None:
    """Say what a word of another tool is called here, behind "unknown key 'learning_rate', "; None for other words."""
    if reason := no_knob_for(word):
        return reason
    found = renamed_knob(word)
    if found is None:
        return None
    knob, remark = found
    return f"which is '{knob}' here" + (f" ({remark})" if remark else "")


def renamed_knob(word: str) -> tuple[str, str] | None:
    """Return the knob that a word of another tool stands for, and a remark, perhaps empty; None for other words."""
    knob, _, remark = _WORDS.get(_normalised(word), "").partition("|")
    return (knob, remark) if knob else None


def no_knob_for(word: str) -> str | None:
    """Say why a word of another tool has no knob here, "no knob here: ..."; None for other words."""
    return _ELSEWHERE.get(_normalised(word))


def _normalised(word: str) -> str:
    return word.lower().replace("-", "_")
