"""Make text safe to show: text from a disk or a container cannot control a terminal or break JSON."""


def escape_control_chars(text: str) -> str:
    """Return text with control characters, and bytes that are not UTF-8, escaped as in Python.

    Newlines stay.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)
