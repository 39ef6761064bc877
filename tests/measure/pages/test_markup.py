"""Text stays text, whatever it holds."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from tinytx.measure.pages.markup import Markup, clean, el, escape, join, percent


class Reader(HTMLParser):
    """What a browser would see: tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[object] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.words += data


@given(st.text())
def test_any_text_in_an_element_or_an_attribute_comes_out_as_the_same_text(text: str) -> None:
    reader = Reader(el("p", text, title=text))
    assert reader.found == [("p", [("title", clean(text))])]
    assert reader.words == clean(text)


def test_markup_is_placed_as_it_is_and_text_beside_it_is_escaped() -> None:
    inner = el("b", "1 < 2")
    assert el("p", inner, "&", None, class_="x", id=None) == '<p class="x"><b>1 &lt; 2</b>&amp;</p>'
    assert join("<", [el("br"), ">"], None) == "&lt;<br>&gt;"
    assert escape(Markup("<i>")) == "<i>"


def test_markup_in_an_attribute_is_escaped_all_the_same() -> None:
    assert el("p", title=Markup('"><script>')) == '<p title="&quot;&gt;&lt;script&gt;"></p>'


def test_what_cannot_be_seen_is_replaced() -> None:
    assert clean("a\u202eb\x00c\ud800d\ne\tf") == "a\ufffdb\ufffdc\ufffdd\ne\tf"


def test_places_are_told_in_few_digits() -> None:
    assert [percent(x) for x in (0.0, 1.0, 1 / 3, 0.5)] == ["0%", "100%", "33.33%", "50%"]
    assert el("rect", x=1.0, y=2, width=0.126, stroke_width=3) == (
        '<rect x="1" y="2" width="0.13" stroke-width="3"></rect>'
    )
