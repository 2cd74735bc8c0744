"""Personal data is masked by leaving out everything that is not known to be none.

Storefronts have fields of every name, so there is no list of what is personal. There is one of what is not: ids,
quantities, money, states, moments and what describes the goods. Any other value is a dot for a person who looks.
"""

import re

import msgspec

MASK = "•••"
_DEPTH_MAX = 40
_PLAIN = frozenset({
    # what it is, and in what state
    "id", "externalid", "orderid", "ordernumber", "number", "reference", "revision", "version", "status", "state",
    "financialstatus", "fulfillmentstatus", "paymentstatus", "orderstatus", "cancelreason", "topic", "event", "object",
    "type", "kind", "test", "confirmed", "currency", "currencycode", "presentmentcurrency", "createdvia",
    # money
    "price", "amount", "total", "subtotal", "subtotalprice", "totalprice", "totaltax", "totaldiscounts",
    "totaldiscount", "totalshipping", "shippingtotal", "discounttotal", "carttax", "tax", "rate", "taxable",
    "taxesincluded", "discount", "value", "cost",
    # goods
    "sku", "variant", "variantid", "productid", "lineitemid", "quantity", "fulfillablequantity", "grams", "weight",
    "giftcard", "requiresshipping", "varianttitle", "vendor", "fulfillmentservice", "fulfill", "warehouseid",
    "dropship", "dropshipproviderid", "findorcreatechannelvariant",
    # moments
    "createdat", "updatedat", "processedat", "cancelledat", "closedat", "modifiedat", "datecreated", "datemodified",
    "datecreatedgmt", "datemodifiedgmt", "datepaid", "datecompleted", "date", "timestamp", "time", "placedat",
    # where, too coarse to be someone
    "countrycode", "country",
})  # fmt: skip
"""Names of members in lower case, with nothing but letters and digits."""
_COARSE = re.compile(r"[\w .,:+#/-]{0,64}")
"""A plain value looks like an id, a moment, a figure or a word; a longer text may be somebody's letter."""
_PERSONAL_PATHS = frozenset({"noteattributes", "properties", "metadata", "metafields", "customfields", "attributes"})
"""Below these a shop keeps what it likes, as name and value."""


def masked(content: object) -> object:
    """JSON content with the same shape, every value masked that may be personal data."""
    return _masked(content, "", 0, free=False)


def masked_text(text: str | bytes) -> object:
    """The same of what may be JSON; one dot for anything else, because nothing is known of what is in it."""
    try:
        return masked(msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MASK


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
    return content if not free and _bare(name) in _PLAIN and _COARSE.fullmatch(str(content)) else MASK


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
