"""classes.yaml and classes.csv, in the forms that people write."""

from __future__ import annotations

from pathlib import Path

import pytest

from atonce.data.classes_file import read_classes
from atonce.errors import DataError

ROAD, SKY = (128, 64, 128), (70, 130, 180)

SAME = {
    "list.yaml": "classes: [{name: road, colour: [128, 64, 128]}, {name: sky, colour: [70, 130, 180]}]",
    "bare.yaml": "- {name: road, color: [128, 64, 128]}\n- {name: sky, color: '#4682b4'}\n",
    "mapping.yaml": "road: [128, 64, 128]\nsky: [70, 130, 180]\n",
    "inner.yaml": "classes:\n  road: [128, 64, 128]\n  sky: {colour: [70, 130, 180]}\n",
    "short.csv": "name,r,g,b\nroad,128,64,128\nsky,70,130,180\n",
    "long.csv": "Name, Red, Green, Blue\nroad, 128, 64, 128\n\nsky, 70, 130, 180\n",
    "semicolon.csv": "name;r;g;b\r\nroad;128;64;128\r\nsky;70;130;180\r\n",
}


def _write(tmp_path: Path, text: str, name: str = "classes.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", SAME)
def test_forms_that_say_the_same(tmp_path: Path, name: str) -> None:
    table = read_classes(_write(tmp_path, SAME[name], name))
    assert table.labels.names == ("road", "sky") and table.labels.palette == (ROAD, SKY)
    assert table.values == ((0, 0), (1, 1), (255, 255))
    assert table.colours == ((ROAD, 0), (SKY, 1)) and not table.explicit_values


def test_names_only(tmp_path: Path) -> None:
    table = read_classes(_write(tmp_path, "[road, sky]"))
    assert table.labels.names == ("road", "sky") and table.colours == ()


def test_values(tmp_path: Path) -> None:
    """The order of the classes is that of the values; a class that claims 255 has it."""
    table = read_classes(_write(tmp_path, "[{name: foreground, value: 255}, {name: background, value: 0}]"))
    assert table.labels.names == ("background", "foreground")
    assert table.values == ((0, 0), (255, 1)) and table.explicit_values


@pytest.mark.parametrize(
    "text", ["{0: background, 7: road}", "classes: [{name: road, id: 7}, {name: background, id: 0}]"]
)
def test_ids(tmp_path: Path, text: str) -> None:
    table = read_classes(_write(tmp_path, text))
    assert table.labels.names == ("background", "road") and table.values == ((0, 0), (7, 1), (255, 255))


def test_csv_with_ids_and_void(tmp_path: Path) -> None:
    text = "id,name,r,g,b,void\n4,void,0,0,0,yes\n7,road,128,64,128,\n8,sky,70,130,180,no\n"
    table = read_classes(_write(tmp_path, text, "classes.csv"))
    assert table.labels.names == ("road", "sky")
    assert table.values == ((4, 255), (7, 0), (8, 1), (255, 255))
    assert table.colours == (((0, 0, 0), 255), (ROAD, 0), (SKY, 1))


def test_void_takes_its_place_in_a_list(tmp_path: Path) -> None:
    table = read_classes(_write(tmp_path, "[road, {name: nothing, void: true}, sky]"))
    assert table.labels.names == ("road", "sky") and table.values == ((0, 0), (1, 255), (2, 1), (255, 255))


@pytest.mark.parametrize(("given", "void"), [("0", [0]), ("[0, 9]", [0, 9])])
def test_ignore_index(tmp_path: Path, given: str, void: list[int]) -> None:
    text = f"ignore_index: {given}\nclasses: [{{name: road, value: 1}}, {{name: sky, value: 2}}]"
    table = read_classes(_write(tmp_path, text))
    assert [value for value, class_id in table.values if class_id == 255] == void


MERGED = {
    "[road, sky, road]": ((0, 0), (1, 1), (2, 0), (255, 255)),
    "[{name: road, value: [3, 1]}, {name: sky, value: 2}]": ((1, 0), (2, 1), (3, 0), (255, 255)),
    "{1: road, 2: sky, 3: road}": ((1, 0), (2, 1), (3, 0), (255, 255)),
    "[{name: sky, value: 4}, {name: road, value: 1}, {name: road, value: 9}]": ((1, 0), (4, 1), (9, 0), (255, 255)),
    "[{name: road, value: 1}, {name: sky, value: 2}, {name: x, value: [-9999, 7], void: true}]": (
        (-9999, 255),
        (1, 0),
        (2, 1),
        (7, 255),
        (255, 255),
    ),
}


@pytest.mark.parametrize("text", MERGED)
def test_classes_are_merged_and_dropped(tmp_path: Path, text: str) -> None:
    table = read_classes(_write(tmp_path, text))
    assert table.labels.names == ("road", "sky") and table.values == MERGED[text]
    assert bool(table.notes) == ("void" not in text), "what is merged is said"


def test_colours_are_merged(tmp_path: Path) -> None:
    """The first colour is that of the class."""
    twice = "[{name: road, colour: [1, 1, 1]}, {name: sky, colour: '#020202'}, {name: road, colour: [3, 3, 3]}]"
    listed = "[{name: road, colour: [[1, 1, 1], [3, 3, 3]]}, {name: sky, colour: ['#020202']}]"
    for text in (twice, listed):
        table = read_classes(_write(tmp_path, text))
        assert table.labels.palette == ((1, 1, 1), (2, 2, 2))
        assert dict(table.colours) == {(1, 1, 1): 0, (3, 3, 3): 0, (2, 2, 2): 1}
        assert "road ((1, 1, 1), (3, 3, 3))" in table.notes[0]


def test_labels_of_annotations(tmp_path: Path) -> None:
    text = "[{name: vehicle, value: [car, truck]}, {name: road, value: [road]}, {name: sky, void: true}]"
    table = read_classes(_write(tmp_path, text), labels=True)
    assert table.labels.names == ("vehicle", "road")
    assert dict(table.names) == {"car": 0, "truck": 0, "road": 1, "sky": 255}


TOOLS = {
    "labelmap.txt": "# label:color_rgb:parts:actions\nroad:128,64,128::\nsky:70,130,180:a,b:\n",
    "label_colors.txt": "128 64 128\t\troad\n70 130 180 sky\n",
    "class_dict.csv": "name,r,g,b\nroad,128,64,128\nsky,70,130,180\n",
}


@pytest.mark.parametrize("name", TOOLS)
def test_tables_of_tools(tmp_path: Path, name: str) -> None:
    table = read_classes(_write(tmp_path, TOOLS[name], name))
    assert table.labels.names == ("road", "sky") and dict(table.colours) == {ROAD: 0, SKY: 1}
    assert table.values == ((0, 0), (1, 1), (255, 255)) and not table.explicit_values


def test_names_of_labelme(tmp_path: Path) -> None:
    table = read_classes(_write(tmp_path, "__ignore__\n_background_\nroad\n", "class_names.txt"))
    assert table.labels.names == ("background", "road") and table.values == ((0, 0), (1, 1), (255, 255))


@pytest.mark.parametrize(
    ("name", "text"), [("label_colors.txt", "road"), ("labelmap.txt", "road:1,2::"), ("class_names.txt", "#")]
)
def test_tables_of_tools_that_are_wrong(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(DataError, match=name):
        read_classes(_write(tmp_path, text, name))


def test_void_by_name_where_a_tool_has_no_other_way(tmp_path: Path) -> None:
    table = read_classes(_write(tmp_path, "name,r,g,b\nVoid,0,0,0\nroad,1,1,1\nsky,2,2,2\n", "class_dict.csv"))
    assert table.labels.names == ("road", "sky") and dict(table.colours)[(0, 0, 0)] == 255
    assert table.notes == ("'Void' in class_dict.csv counts as void; a classes.yaml can make it a class",)
    own = read_classes(_write(tmp_path, "[void, road]"))
    assert own.labels.names == ("void", "road"), "a person can say what is void"


WRONG = {
    "[{name: road, void: true, value: 1}, {name: road, value: 2}]": "lists 'road' as a class and as void",
    "road: [1, 2, 3]\nroad: [4, 5, 6]": "the key 'road' is there twice; to merge classes write a list",
    "[{name: road, value: lane}]": "road has the value 'lane'; expected a whole number",
    "[{name: road, colour: [1, 2, 3]}, sky]": "gives a colour to 1 of 2 classes",
    "[{name: road, value: 1}, {name: sky}]": "gives a value to 1 of 2 classes",
    "[{name: road, value: 1}, {name: sky, value: 1}]": "gives the value 1 to two entries",
    "{road: [1, 2, 3], sky: [1, 2, 3]}": "gives the colour .1, 2, 3. to two entries",
    "{road: [1, 2]}": r"road has the colour \[1, 2\]; expected \[red, green, blue\]",
    "{road: [1, 2, 300]}": "the colour of road has the value 300; expected a whole number from 0 to 255",
    "[{name: road, colur: [1, 2, 3]}]": "class 0 has the key 'colur'.*did you mean 'colour'",
    "classes: [road]\nignore: 3": "the file has the key 'ignore'",
    "[{colour: [1, 2, 3]}]": "class 0 has the name None",
    "[yes, no]": "class 0 has the name True; expected a text; put it in quotes",
    "[{name: road, value: -1}]": "road has the value -1",
    "[{name: road, value: 1.5}]": "road has the value 1.5",
    "[{name: road, void: maybe}]": "void is 'maybe'",
    "[{name: road, void: true}]": "0 classes",
    "": "holds no classes",
    "just text": "holds no classes",
    "classes: []": "holds no classes",
    "classes: [": "is not YAML",
    "{road: '#12345g'}": "road has the colour",
}


@pytest.mark.parametrize("text", WRONG)
def test_yaml_that_is_wrong(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=WRONG[text]) as caught:
        read_classes(_write(tmp_path, text))
    assert "classes.yaml" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected name,r,g,b"),
        ("road,128,64,128\nsky,70,130,180\n", "has the header 'road, 128, 64, 128'.*expected name,r,g,b"),
        ("name,r,g,b\nroad,128,64\n", "row 2 holds 3 cells; expected 4"),
        ("name,r,g,b\nroad,128,64,x\n", "the colour of road has the value 'x'"),
    ],
)
def test_csv_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_classes(_write(tmp_path, text, "classes.csv"))


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"classes\.yaml cannot be read .*expected text in UTF-8"):
        read_classes(tmp_path / "classes.yaml")
