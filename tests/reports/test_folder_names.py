"""What is given to others tells nothing of the machine it was made on."""

from __future__ import annotations

import pytest

from atonce.reports.folder_names import shorten_command, shorten_paths


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/me/customer x/vgg16.pth", "vgg16.pth"),
        ("/home/me/weights/", "weights"),
        ("~/customer/vgg16.pth", "vgg16.pth"),
        ("~me/vgg16.pth", "vgg16.pth"),
        ("../../customer/vgg16.pth", "vgg16.pth"),
        ("runs/../../customer/model", "model"),
        ("C:\\\\Users\\\\me\\\\vgg16.pth".replace("\\\\", "\\"), "vgg16.pth"),
        ("s3://customer/weights/vgg16.pth", "vgg16.pth"),
        ("s3:/customer/weights/vgg16.pth", "vgg16.pth"),
        ("https://customer.example/vgg16.pth", "vgg16.pth"),
        ("https://customer.example/vgg16.pth?X-Signature=ab/cd=&x=1#2", "vgg16.pth"),
        ("s3://key:secret@customer/vgg16.pth?versionId=7", "vgg16.pth"),
        ("weights of https://customer.example/a/vgg16.pth?token=x/y, checked", "weights of vgg16.pth, checked"),
        ("is it right? a#b", "is it right? a#b"),
        ("classes from the labels; /home/me/customer x/classes.yaml can rename them", None),
        ("write /home/me/classes.yaml: `classes: [...]`", "write classes.yaml: `classes: [...]`"),
        ("hf://me/road", "hf://me/road"),
        ("train/images", "train/images"),
        ("12 pictures/s, 3 w/o masks; median-frequency", "12 pictures/s, 3 w/o masks; median-frequency"),
        ("a/b", "a/b"),
    ],
)
def test_of_a_path_the_last_part_remains(text: str, expected: str | None) -> None:
    assert shorten_paths(text) == (expected or "classes from the labels; classes.yaml can rename them")
    assert shorten_paths({"a": [text, 1, None]}) == {"a": [shorten_paths(text), 1, None]}


def test_of_a_command_all_that_is_set_to_a_path() -> None:
    command = (
        "atonce train '/home/me/customer x/data' --out=../customer/a=b/run --set weights=/home/x=y/z.pth "
        "--set 'data.images=[\"/home/me/i\"]' --weights hf://me/road --weights 'https://h/v.pth?token=x/y' --teacher memory://customer/t --set optim.lr=1e-4"
    )
    assert shorten_command(command) == (
        "atonce train data --out=run --set weights=z.pth --set 'data.images=[\"i\"]' --weights hf://me/road --weights v.pth "
        "--teacher t --set optim.lr=1e-4"
    )
    assert shorten_command("atonce 'train") == ""
