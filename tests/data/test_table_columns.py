"""The columns that are offered where an import does not know which is which."""

from __future__ import annotations

from derm_core.data.table_columns import columns_of_tables


def test_columns_are_those_of_all_tables_or_of_the_chosen_as_they_spell_them(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.csv").write_text("Image,Who\nx,1\n")
    (tmp_path / "sub" / "b.csv").write_text("Image;Kind\nx;1\n")
    every = columns_of_tables(tmp_path)
    assert set(every.tables) == {"a.csv", "sub/b.csv"}
    assert set(every.columns) == {"Image", "Who", "Kind"}
    chosen = columns_of_tables(tmp_path, ["sub/b.csv"])
    assert chosen.tables == every.tables and chosen.columns == ("Image", "Kind")
    assert columns_of_tables(tmp_path / "a.csv").columns == ("Image", "Who")


def test_a_table_that_cannot_be_read_hides_no_other(tmp_path):
    (tmp_path / "bad.csv").write_bytes(b"\x00\x01\x02")
    (tmp_path / "good.csv").write_text("image,dx\nx,1\n")
    assert columns_of_tables(tmp_path).columns == ("image", "dx")


def test_a_file_that_is_no_table_has_no_columns(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"-")
    assert columns_of_tables(tmp_path / "a.npz").columns == ()
