"""What an import request says, read only as far as the rules need. Amounts are never decoded: the bytes are kept."""

import msgspec

from relay.sandbox.problems import Problem, invalid

PHONE_MAX_CHARACTERS = 30  # documented in the vendor's schema, as is that a customer has an email


class Variant(msgspec.Struct, rename="camel", gc=False):
    """The item of a line, by the storefront's id or by SKU."""

    external_id: str | int | None = None
    sku: str | None = None

    @property
    def name(self) -> str:
        """The item's external id as text, empty when there is none."""
        return "" if self.external_id is None else str(self.external_id)


class Line(msgspec.Struct, rename="camel", gc=False):
    """One line item."""

    external_id: str | int | None = None
    variant: Variant | None = None


class Customer(msgspec.Struct, gc=False):
    """Who ordered."""

    email: str | None = None
    phone: str | None = None


class Defaults(msgspec.Struct, gc=False):
    """The fields of the sale; only the name the customer sees is read."""

    reference: str | int | None = None


class Options(msgspec.Struct, rename="camel", gc=False):
    """How to import."""

    find_or_create_channel_variant: bool | None = None


class Payload(msgspec.Struct, rename="camel", gc=False):
    """A manual-sale payload that keeps the rules a payload can keep on its own."""

    external_id: str | int | None = None
    sale_defaults: Defaults | None = None
    customer: Customer | None = None
    line_items: list[Line] = []
    options: Options | None = None

    @property
    def order(self) -> str:
        """``externalId`` as text, empty when there is none."""
        return "" if self.external_id is None else str(self.external_id)

    @property
    def reference(self) -> str | None:
        """``saleDefaults.reference`` as text."""
        given = None if self.sale_defaults is None else self.sale_defaults.reference
        return None if given is None else str(given)

    @property
    def creates_variants(self) -> bool:
        """Whether unknown items are acknowledged on the way."""
        return self.options is not None and self.options.find_or_create_channel_variant is True


class Rejected(msgspec.Struct, gc=False):
    """A body that cannot be imported, and why; ``order`` is its ``externalId`` where that much could be read."""

    order: str
    reference: str | None
    problem: Problem


class _Identity(msgspec.Struct, rename="camel"):
    external_id: str | int | None = None


_payload = msgspec.json.Decoder(Payload)
_identity = msgspec.json.Decoder(_Identity)


def read(body: bytes, content_type: str, *, check_customer: bool) -> Payload | Rejected:
    """The payload in ``body``, or why it is none."""
    if not content_type.endswith("json"):
        # Documented: the content type stays application/json. What another one is answered is not.
        return Rejected("", None, invalid(f"Content-Type {content_type} is not application/json.", 415))
    try:
        payload = _payload.decode(body)
    except msgspec.ValidationError as error:
        return Rejected(_order_of(body), None, invalid(str(error)))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Rejected("", None, invalid(str(error), 400))
    wrong = _wrong(payload, check_customer)
    return payload if wrong is None else Rejected(payload.order, payload.reference, wrong)


def _order_of(body: bytes) -> str:
    try:
        found = _identity.decode(body).external_id
    except msgspec.DecodeError:
        return ""
    return "" if found is None else str(found)


def _wrong(payload: Payload, check_customer: bool) -> Problem | None:
    if not payload.order:
        return invalid("externalId is missing.", externalId=None)
    lines = [line.external_id for line in payload.line_items if line.external_id is not None]
    if len(set(lines)) != len(lines):  # documented: a line's externalId must be unique
        return invalid("Two line items have the same externalId.", externalId=payload.order)
    if check_customer and payload.customer is not None:
        if not payload.customer.email:
            return invalid("customer.email is missing.", externalId=payload.order)
        if len(payload.customer.phone or "") > PHONE_MAX_CHARACTERS:
            return invalid(f"customer.phone is longer than {PHONE_MAX_CHARACTERS}.", externalId=payload.order)
    return None
