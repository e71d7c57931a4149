"""Names in a narrow column are cut so that they still tell each other apart."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.cli.cut_names import cut_names, first_of_each


def test_names_of_one_pass_differ_by_their_beginning() -> None:
    names = [f"node_Conv_{n}~fuse-upsample-conv/Conv_2" for n in (581, 583, 587)] + ["node_Conv_5"]
    found = cut_names(names, [17, 17, 17, 14])
    assert found == [f"node_Conv_{n}…v_2" for n in (581, 583, 587)] + ["node_Conv_5"]


def test_the_end_is_kept_where_it_tells_names_apart() -> None:
    assert cut_names(["/decoder/block/Conv_1", "/decoder/block/Conv_2"], [9, 8]) == [
        *("…k/Conv_1", "…/Conv_2"),
    ]  # fmt: skip


def test_a_difference_in_the_middle_is_shown() -> None:
    names = [f"/a/long/beginning/{n}/a/long/end" for n in range(4)]
    found = cut_names(names, [12] * 4)
    assert len(set(found)) == 4
    assert [str(n) in text for n, text in enumerate(found)] == [True] * 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab/_", min_size=1, max_size=40), max_size=8), st.integers(4, 20))
def test_no_name_is_wider_than_its_column(names: list[str], width: int) -> None:
    found = cut_names(names, [width] * len(names))
    assert all(len(text) <= width for text in found)
    assert all(text == name for text, name in zip(found, names, strict=True) if len(name) <= width)
    if len(set(names)) == 1:
        assert len(set(found)) == 1


def test_what_stands_with_a_name_is_counted_within_the_width() -> None:
    found = first_of_each(["decoder.block_1.conv", "short"], [2, 0], 12)
    assert found == ["…k_1.conv +2", "short"]
