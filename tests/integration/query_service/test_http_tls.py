"""TLS to the store: an authority that the system trusts, and a certificate for just this address."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from query_service.storage.physical.http.errors import NoAnswer
from tests.support.queries.scripted_server import Writer, answer, client_of, scripted


def certificate(directory: Path, address: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for an address, and the file with the authority that vouches for it: itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    public, private = directory / "certificate.pem", directory / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    no_password = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


async def tls_request(directory: Path, monkeypatch: pytest.MonkeyPatch, *, address: str, trusted: bool) -> bytes:
    context, authority = certificate(directory, address)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    async with scripted(tls=context) as server, client_of(server.url) as client:
        await client.request("POST", "/", bytes(1_000_000))
        body = (await client.request("GET", "/secret")).body
        assert server.opened == 1
        return body


async def test_tls_with_an_authority_that_the_system_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await tls_request(tmp_path, monkeypatch, address="127.0.0.1", trusted=True) == b"/secret"


@pytest.mark.parametrize(("address", "trusted"), [("127.0.0.1", False), ("127.0.0.2", True)])
async def test_tls_with_a_wrong_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, trusted: bool
) -> None:
    with pytest.raises(NoAnswer, match="certificate verify failed"):
        await tls_request(tmp_path, monkeypatch, address=address, trusted=trusted)


async def test_a_server_that_speaks_first_gives_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With TLS 1.2 its words can come with the end of the handshake, before there is a request."""

    async def full(_: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(answer(b"{}", status=503))
        writer.close()

    context, authority = certificate(tmp_path, "127.0.0.1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    server = await asyncio.start_server(full, "127.0.0.1", 0, ssl=context)
    async with server, client_of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        for _ in range(5):
            with suppress(NoAnswer):  # or the words are taken for the answer, if they come a little later
                assert (await client.request("GET", "/")).status == 503


async def test_tls_is_not_spoken_by_a_server_without_it() -> None:
    async def plain(_: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(answer(b"", status=400))
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with client_of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        with pytest.raises(NoAnswer, match="cannot connect"):
            await client.request("GET", "/")
    server.close()
