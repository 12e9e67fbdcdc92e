from foretaste.html_table import html_table


def test_what_users_named_is_never_markup() -> None:
    found = html_table("<i>", ["<b>"], [["<script>", 1.0, 3]])
    assert "<script>" not in found
    assert "&lt;b&gt;" in found
    assert '<td align="right">1.000</td><td>3</td>' in found
