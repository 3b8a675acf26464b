"""Texts as people may see them: what came from a disk or a container steers no terminal and breaks no JSON."""


def escape_control_chars(text: str) -> str:
    """Return a text with its control characters, and the bytes that are no UTF-8, as Python writes them; lines stay."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)
