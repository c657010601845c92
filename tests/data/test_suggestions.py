from __future__ import annotations

from ebmlm.data.suggestions import missing_name, nearest


def test_nearest_names_the_closest_or_nothing() -> None:
    assert nearest("txt", ["id", "text"]) == " (did you mean 'text'?)"
    assert nearest("zzz", ["id", "text"]) == ""


def test_missing_name_tells_what_there_is() -> None:
    message = missing_name("rows line 3", "column", "txt", ["id", "text"])
    assert message == (
        "rows line 3 has no column 'txt' (did you mean 'text'?); it has 'id', 'text'"
    )
    assert missing_name("x", "column", "y", []).endswith("it has none")


def test_missing_name_stops_listing() -> None:
    message = missing_name("x", "column", "y", [f"column{number}" for number in range(25)])
    assert message.endswith("'column19' and 5 more")
