"""However a body is cut up for hashing, its signature is the one that everybody else computes."""

import hmac

import pytest

from relay.core.signature import hmac_sha256


@pytest.mark.parametrize("length", [0, 1, 2046, 2047, 2048, 4094, 5000, 65_536, 65_537, 1_000_000])
def test_it_is_the_standard_librarys_digest(length: int) -> None:
    body = bytes(i % 251 for i in range(length))
    assert hmac_sha256(b"key", body) == hmac.digest(b"key", body, "sha256")
