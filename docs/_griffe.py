"""Show the sections that only gradtx's docstrings have: Shapes, Units, Source, Differs."""

import re
from pathlib import Path

import griffe

INIT = Path(__file__).parent.parent / "gradtx" / "__init__.pyi"
# Names that can be nothing but a public name: those with an underscore.
PUBLIC = re.findall(r" as ([a-z]\w*_\w+)$", INIT.read_text(encoding="utf-8"), re.MULTILINE)
MENTION = re.compile(rf"(?<!\[)`({'|'.join(PUBLIC)})`")
OWN = re.compile(r"^(Shapes|Units|Source|Differs): (.*(?:\n[ ]{4}.*)*)", re.MULTILINE)


def as_paragraph(match: re.Match) -> str:
    """Write a section with text on its first line as a paragraph with a bold name."""
    text = " ".join(line.strip() for line in match[2].splitlines())
    return f"\n**{match[1]}:** {text}\n"


class OwnSections(griffe.Extension):
    """Rewrite docstrings before they are parsed as Google style."""

    def on_instance(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite one object's docstring."""
        if not obj.is_alias and obj.docstring:
            text = OWN.sub(as_paragraph, obj.docstring.value)
            text = MENTION.sub(r"[`\1`][gradtx.\1]", text)
            # The parser knows the plural as a section of code to be coloured.
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
