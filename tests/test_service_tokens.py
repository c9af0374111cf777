"""Who may call the service: tokens of Google's kind, and forged ones."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.servers.token_issuer import CALLER, TokenIssuer
from wharf.launch.service.identity_tokens import IdentityTokens, KeysMissing, Pace, TokenRefused
from wharf.model.errors import UsageError

AUDIENCE = "https://wharf.example"


@pytest.fixture(scope="module")
def google() -> Iterator[TokenIssuer]:
    with TokenIssuer() as running:
        yield running


@pytest.fixture
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as running:
        yield running


def tokens_of(issuer: TokenIssuer, pace: Pace | None = None) -> IdentityTokens:
    return IdentityTokens(AUDIENCE, [CALLER], issuer.url, pace)


def caller(tokens: IdentityTokens, token: str) -> str:
    return asyncio.run(tokens.caller(f"Bearer {token}"))


def refusal(issuer: TokenIssuer, authorization: str) -> tuple[int, str]:
    with pytest.raises(TokenRefused) as refused:
        asyncio.run(tokens_of(issuer).caller(authorization))
    return refused.value.status, str(refused.value)


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_a_token_of_an_allowed_account_names_its_caller(google: TokenIssuer) -> None:
    assert caller(tokens_of(google), google.token()) == CALLER
    assert caller(tokens_of(google), google.token(iss="accounts.google.com")) == CALLER


@pytest.mark.parametrize(
    ("changed", "status", "text"),
    [
        ({"aud": "https://other.example"}, 401, "the token is for another audience"),
        ({"aud": None}, 401, "the token lacks a claim"),
        ({"iss": "https://accounts.example"}, 401, "the token is not of Google's issuer"),
        ({"exp": int(time.time()) - 60}, 401, "the token has expired"),
        ({"exp": None}, 401, "the token lacks a claim"),
        ({"exp": "tomorrow"}, 401, "the token cannot be read"),
        ({"iat": int(time.time()) + 600}, 401, "the token is of the future"),
        ({"email": None}, 401, "the token lacks a claim"),
        ({"email": "somebody@other.iam.gserviceaccount.com"}, 403, "somebody@other.iam.gserviceaccount.com may not"),
        ({"email": [CALLER]}, 403, "may not call"),
        ({"email_verified": False}, 403, f"{CALLER} may not call"),
        ({"email_verified": "true"}, 403, f"{CALLER} may not call"),
        ({"email_verified": None}, 403, f"{CALLER} may not call"),
    ],
)
def test_a_signed_token_with_wrong_claims_is_refused(
    google: TokenIssuer, changed: dict[str, Any], status: int, text: str
) -> None:
    found = refusal(google, f"Bearer {google.token(**changed)}")
    assert found[0] == status
    assert found[1].startswith(text) or text in found[1]


def test_a_token_with_the_algorithm_none_is_refused(google: TokenIssuer) -> None:
    unsigned = f"{encoded({'alg': 'none', 'kid': google.kid})}.{encoded(google.claims())}."
    assert refusal(google, f"Bearer {unsigned}") == (401, "the token is not signed with RS256")


def test_the_public_key_as_an_hmac_secret_makes_no_token(google: TokenIssuer) -> None:
    public = google.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = f"{encoded({'alg': 'HS256', 'kid': google.kid})}.{encoded(google.claims())}"
    signature = base64.urlsafe_b64encode(jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        head.encode(), public)).decode().rstrip("=")  # fmt: skip
    assert refusal(google, f"Bearer {head}.{signature}") == (401, "the token is not signed with RS256")


def test_a_token_that_was_changed_after_signing_is_refused(google: TokenIssuer) -> None:
    head, _, signature = google.token(email="somebody@other.example").split(".")
    assert refusal(google, f"Bearer {head}.{encoded(google.claims())}.{signature}") == (
        401,
        "the token has a signature that does not fit",
    )


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())])
def test_a_token_signed_by_somebody_else_is_refused(google: TokenIssuer, key: Any) -> None:
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    forged = jwt.encode(google.claims(), key, algorithm=algorithm, headers={"kid": google.kid})
    assert refusal(google, f"Bearer {forged}")[0] == 401


def test_a_token_of_an_unknown_key_is_refused(google: TokenIssuer) -> None:
    for headers in ({"kid": "another"}, {}):
        forged = jwt.encode(google.claims(), google.key, algorithm="RS256", headers=headers)
        assert refusal(google, f"Bearer {forged}") == (
            401,
            "the token is signed with a key that its issuer does not have",
        )


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic dTpw", "Bearer a.b.c", "Bearer a", "Bearer ....", "Bearer \u00e4.\u00f6.\u00fc"],
)
def test_what_is_no_token_is_refused(google: TokenIssuer, authorization: str) -> None:
    assert refusal(google, authorization)[0] == 401


@pytest.mark.parametrize("kid", [["list"], {"a": 1}, 7, "x" * 50_000])
def test_a_header_of_a_wrong_kind_is_refused(google: TokenIssuer, kid: Any) -> None:
    assert refusal(google, f"Bearer {encoded({'alg': 'RS256', 'kid': kid})}.{encoded({})}.AAAA")[0] == 401


def test_a_header_nested_too_deep_is_refused(google: TokenIssuer) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 40_000).decode().rstrip("=")
    assert refusal(google, f"Bearer {deep}.{encoded({})}.AAAA") == (401, "the token cannot be read")


def test_a_token_that_cloud_run_has_checked_names_the_remedy(google: TokenIssuer) -> None:
    head, claims, _ = google.token().split(".")
    status, text = refusal(google, f"Bearer {head}.{claims}.SIGNATURE_REMOVED_BY_GOOGLE")
    assert (status, "leave --audience out" in text) == (401, True)


def test_an_audience_without_accounts_is_refused() -> None:
    with pytest.raises(UsageError, match="--service_accounts"):
        IdentityTokens(AUDIENCE, [])


def test_the_keys_are_fetched_once_for_many_tokens(issuer: TokenIssuer) -> None:
    async def many() -> list[str]:
        tokens = tokens_of(issuer)
        return await asyncio.gather(*(tokens.caller(f"Bearer {issuer.token()}") for _ in range(50)))

    assert asyncio.run(many()) == [CALLER] * 50
    assert issuer.fetches == 1


def test_a_token_that_was_good_is_refused_once_it_has_expired(google: TokenIssuer) -> None:
    tokens = tokens_of(google)
    token = google.token(exp=int(time.time()) - 26)  # clocks may differ by 30 s
    assert caller(tokens, token) == CALLER
    assert caller(tokens, token) == CALLER
    time.sleep(4)
    with pytest.raises(TokenRefused, match="has expired"):
        caller(tokens, token)


def test_a_new_key_is_fetched_and_unknown_ones_make_no_storm(issuer: TokenIssuer) -> None:
    seldom, often = tokens_of(issuer), tokens_of(issuer, Pace(pause=0.0))
    for tokens in (seldom, often):
        assert caller(tokens, issuer.token()) == CALLER
    issuer.rotate()
    assert caller(often, issuer.token()) == CALLER
    with pytest.raises(TokenRefused):  # so soon after the last fetch nobody is asked
        caller(seldom, issuer.token())
    tokens = tokens_of(issuer)
    before = issuer.fetches
    for number in range(50):
        forged = jwt.encode(issuer.claims(), issuer.key, algorithm="RS256", headers={"kid": f"made-up-{number}"})
        with pytest.raises(TokenRefused):
            caller(tokens, forged)
    assert issuer.fetches == before + 1


def test_without_keys_no_token_is_judged_and_they_are_asked_for_again(issuer: TokenIssuer) -> None:
    issuer.answers = [503, 404]
    tokens = tokens_of(issuer, Pace(pause_after_failure=0.0))
    for _ in range(2):
        with pytest.raises(KeysMissing):
            caller(tokens, issuer.token())
    assert caller(tokens, issuer.token()) == CALLER


def test_an_issuer_that_fails_is_not_asked_for_every_token(issuer: TokenIssuer) -> None:
    issuer.answers = [503] * 10
    tokens = tokens_of(issuer)
    for _ in range(10):
        with pytest.raises(KeysMissing):
            caller(tokens, issuer.token())
    assert issuer.fetches == 1


def test_old_keys_do_for_a_while_where_the_issuer_does_not_answer(issuer: TokenIssuer) -> None:
    issuer.max_age = 0
    tokens = tokens_of(issuer, Pace(shortest=0.0, pause=0.0, pause_after_failure=0.0, last_resort=2.0))
    assert caller(tokens, issuer.token()) == CALLER
    issuer.answers = [500] * 1_000
    assert caller(tokens, issuer.token(jti="1")) == CALLER
    assert issuer.fetches == 2
    time.sleep(2)
    with pytest.raises(KeysMissing):
        caller(tokens, issuer.token(jti="2"))
