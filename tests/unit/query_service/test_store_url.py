"""The URL of a store: where it is, and who asks."""

import base64

import pytest

from query_service.store_url import HttpAddress, read_http_url


@pytest.mark.parametrize(
    ("url", "address", "netloc"),
    [
        ("http://h:9200", HttpAddress("h", 9200, tls=False), "h:9200"),
        ("https://h", HttpAddress("h", 443, tls=True), "h:443"),
        ("https://h:9243/", HttpAddress("h", 9243, tls=True), "h:9243"),
        ("http://[::1]:9200", HttpAddress("::1", 9200, tls=False), "[::1]:9200"),
        ("http://h:9200/below/it/", HttpAddress("h", 9200, tls=False, path="/below/it"), "h:9200"),
    ],
)
def test_an_address_is_read(url: str, address: HttpAddress, netloc: str) -> None:
    assert read_http_url(url) == address
    assert read_http_url(url).netloc == netloc


@pytest.mark.parametrize(
    ("user", "sent"),
    [
        ("user:pass", b"user:pass"),
        ("us%40er:p%2Fss%3A%C3%BC", "us@er:p/ss:ü".encode()),
        ("user", b"user:"),
        (":p", b":p"),
    ],
)
def test_user_and_password_are_sent_decoded_and_never_shown(user: str, sent: bytes) -> None:
    address = read_http_url(f"http://{user}@h:9200")
    kind, _, value = address.authorization.partition(" ")
    assert (kind, base64.b64decode(value)) == ("Basic", sent)
    assert value not in repr(address)
    assert address.netloc == "h:9200"


@pytest.mark.parametrize(
    "url",
    ["", "h:9200", "ftp://h:9200", "http://h", "http://h:0", "http://h:9200/a b", "http://h:9200/ü", "http://a,b:1"],
)
def test_other_urls_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ValueError) as raised:
        read_http_url(url)
    assert not url or url not in str(raised.value)
