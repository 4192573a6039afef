"""Tests of gradtx/plot/_style.py."""

from gradtx import plot


def test_styles_differ_and_go_by_place():
    names = [f"optimizer {i}" for i in range(36)]
    styles = plot.line_styles(names)
    assert list(styles) == names
    assert len({(style.color, style.linestyle) for style in styles.values()}) == 36
    assert plot.line_styles(names[:5]) == {name: styles[name] for name in names[:5]}


def test_twelve_names_have_twelve_colors_and_markers():
    styles = plot.line_styles("abcdefghijkl").values()
    assert len({style.color for style in styles}) == len({style.marker for style in styles}) == 12
