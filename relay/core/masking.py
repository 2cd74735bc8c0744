"""Personal data is masked by leaving out everything that is not known to be none.

Storefronts have fields of every name, so there is no list of what is personal. There is one of what is not: ids,
quantities, money, states, moments and what describes the goods. Any other value is a dot for a person who looks.
"""

import re
from collections.abc import Iterator

import msgspec

MASK = "•••"
_DEPTH_MAX = 40
_PLAIN = frozenset({
    # what it is, and in what state
    "id", "externalid", "orderid", "ordernumber", "number", "reference", "revision", "version", "status", "state",
    "financialstatus", "fulfillmentstatus", "paymentstatus", "orderstatus", "cancelreason", "topic", "event", "object",
    "type", "kind", "test", "confirmed", "currency", "currencycode", "presentmentcurrency", "createdvia",
    # goods
    "taxable", "taxesincluded", "sku", "variant", "variantid", "productid", "lineitemid", "giftcard",
    "requiresshipping", "varianttitle", "vendor", "fulfillmentservice", "fulfill", "warehouseid",
    "dropship", "dropshipproviderid", "findorcreatechannelvariant",
    # moments
    "createdat", "updatedat", "processedat", "cancelledat", "closedat", "modifiedat", "datecreated", "datemodified",
    "datecreatedgmt", "datemodifiedgmt", "datepaid", "datecompleted", "date", "timestamp", "time", "placedat",
    # where, too coarse to be someone
    "countrycode", "country",
})  # fmt: skip
"""Names of members in lower case, with nothing but letters and digits."""
_FIGURES = frozenset({
    "price", "amount", "total", "subtotal", "subtotalprice", "totalprice", "totaltax", "totaldiscounts",
    "totaldiscount", "totalshipping", "shippingtotal", "discounttotal", "carttax", "tax", "rate", "discount", "value",
    "cost", "quantity", "fulfillablequantity", "grams", "weight",
})  # fmt: skip
"""The same of members that hold a figure; any other text below them is whoever's."""
_FIGURE = re.compile(r"-?[0-9]{1,7}([.,][0-9]{1,10})?%?")
"""Shorter than a telephone number."""
_COARSE = re.compile(r"[\w .,:+#/-]{0,64}")
"""A plain value looks like an id, a moment, a figure or a word; a longer text may be somebody's letter."""
_PERSONAL_PATHS = frozenset({
    "noteattributes", "properties", "metadata", "metafields", "customfields", "attributes", "formfields",
    "formsubmission", "customizations",
})  # fmt: skip
"""Below these a shop keeps what it likes, as name and value."""
_QUOTED = re.compile(r"""(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?!\w)""")
"""A value as messages show it (``repr``); the apostrophe in "the order's id" begins none."""
_OBJECT = re.compile(r"\{(?:.*\}|.*)", re.DOTALL)
"""JSON in a message, whole or cut off."""
_SAYS = re.compile(r"(?<=it says: ).*", re.DOTALL)
"""What a storefront's API answered, in :mod:`relay.core.fetched`'s words."""
_EMAIL = re.compile(r"[^\s@<>'\"(),;:]+@[^\s@<>'\"(),;:]+")


def masked(content: object) -> object:
    """JSON content with the same shape, every value masked that may be personal data."""
    return _masked(content, "", 0, free=False)


def masked_text(text: str | bytes) -> object:
    """The same of what may be JSON; one dot for anything else, because nothing is known of what is in it."""
    try:
        return masked(msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MASK


def without_quoted(message: str) -> str:
    """A message without the values that it shows."""
    return _QUOTED.sub(MASK, message)


def masked_words(message: str) -> str:
    """A sentence of whomever without what it quotes of an order, as far as that can be told from the rest of it: JSON,
    values in quotation marks, e-mail addresses."""
    return _EMAIL.sub(MASK, without_quoted(_OBJECT.sub(MASK, _SAYS.sub(MASK, message))))


def without_values(message: str, sale: bytes) -> str:
    """What was said of a sale without the values of it that may be personal data, whether it quotes them with a mark or
    without one."""
    try:
        personal = set(_hidden(msgspec.json.decode(sale), ""))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return message
    named = sorted((value for value in personal if value in message), key=len, reverse=True)
    if not named:
        return message
    return re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, named))})(?!\w)", MASK, message)


def _hidden(content: object, name: str) -> Iterator[str]:
    """Texts that would be masked."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _hidden(value, key)
    elif isinstance(content, list):
        for value in content:
            yield from _hidden(value, name)
    elif isinstance(content, str) and len(content) >= _TELLING and _masked(content, name, 0, free=False) == MASK:
        yield content


_TELLING = 3
"""A shorter text is in any sentence by chance."""
_SENTENCES = frozenset({"message", "detail", "words", "why"})
"""Names of members that hold sentences, which may quote."""


def masked_sentences(content: object) -> object:
    """An answer of the relay's own whose sentences quote nothing any more."""
    if isinstance(content, dict):
        return {name: masked_words(inner) if name in _SENTENCES and isinstance(inner, str) else masked_sentences(inner)
                for name, inner in content.items()}  # fmt: skip
    return [masked_sentences(inner) for inner in content] if isinstance(content, list) else content


def _masked(content: object, name: str, depth: int, *, free: bool) -> object:
    if content is None or isinstance(content, bool):
        return content
    if depth > _DEPTH_MAX:
        return MASK
    if isinstance(content, dict):
        return {key: _masked(value, key, depth + 1, free=free or _bare(key) in _PERSONAL_PATHS)
                for key, value in content.items()}  # fmt: skip
    if isinstance(content, list):
        return [_masked(value, name, depth + 1, free=free) for value in content]
    bare = _bare(name)
    plain = _COARSE if bare in _PLAIN else _FIGURE if bare in _FIGURES else None
    return MASK if free or plain is None or not plain.fullmatch(str(content)) else content


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
