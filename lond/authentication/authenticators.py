"""Who a user is, by the account's type: is this the right password?

internal: the hash in the passwd file. unix: PAM, service ``loncapa`` (extra ``pam``: the library pamela). krb5: a
ticket of the realm, proved against this host's own key (extra ``krb5``: the library gssapi). localauth: a Python
function that the entry point group ``lond.localauth`` names. krb4: there is no library any more. none: never.

A ticket alone proves nothing, since whoever can answer in place of the realm's server can issue one; so the user's
fresh ticket is used towards the service host@HOSTNAME, whose key, in this machine's keytab, only the true server knows.

Promises: a password is passed on unchanged and to nobody else; an empty one, or one with a NUL, is wrong for everything
that is asked outside, without asking.

Raises: :class:`Unavailable` when the type, :class:`Unusable` when the single account can't be checked on this machine
(``auth_mode_error``), :class:`Unanswered` when it can but gave no answer now. Their texts hold nothing that the library
said. Logs nothing.

Known limits: everything but `internal` and `none` may wait for somebody else; the workers end a check that takes too
long. How PAM and Kerberos wait is theirs to configure.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from common.errors import LonError
from lond.authentication import passwords
from lond.authentication.accounts import INTERNAL, KRB4, KRB5, LOCALAUTH, NONE, UNIX, Account

PAM_SERVICE = "loncapa"
KERBEROS_SERVICE = "host"
ENTRY_POINTS = "lond.localauth"

# Linux-PAM's numbers. It could not be asked: OPEN, SYMBOL, SERVICE, SYSTEM, BUF errors, AUTHINFO_UNAVAIL.
_PAM_FAIL_DELAY = 10
_PAM_UNANSWERED = frozenset((1, 2, 3, 4, 5, 9))
# Called after a wrong password in place of PAM's sleep of some seconds: the gaps between guesses are lond's own.
_NO_DELAY = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)(lambda _answer, _usec, _data: None)
# Kerberos' answers that mean: not with this password (RFC 4120, section 7.5.9; offset of the krb5 error table).
_KRB5_TABLE = -1765328384
_KRB5_REFUSALS = frozenset(
    _KRB5_TABLE + code
    for code in (
        1,  # the client's entry has expired
        6,  # no such client
        12,  # policy
        18,  # the client's credentials are revoked
        23,  # the password has expired
        24,  # pre-authentication failed
        31,  # integrity check failed: the classic answer to a wrong password
    )
)


class Unavailable(LonError):
    """This type of account can't be checked on this machine: a library or setting is missing."""


class Unusable(Unavailable):
    """The same, because of what this one account says."""


class Unanswered(LonError):
    """Who should know did not answer, or not sensibly."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody says that this user's password is this.

    :param info: the account's INFO.
    :param hostname: this host's name in hosts.tab, which is that of its Kerberos service.
    """

    domain: str
    user: str
    password: bytes = field(repr=False)
    info: str = field(repr=False)
    hostname: str

    @property
    def can_be_asked(self) -> bool:
        """Whether others may see this password: directories take an empty one as a log-in of nobody, as success."""
        return bool(self.password) and b"\0" not in self.password


def check(account: Account, claim: Claim) -> bool:
    """Whether the claim is true.

    :raises Unavailable: see the module; as also Unanswered.
    """
    return _CHECKS[account.type](claim)


def _internal(claim: Claim) -> bool:
    try:
        return passwords.verify(claim.password, claim.info)
    except passwords.HashUnusable as error:
        raise Unusable(str(error)) from None
    except passwords.HashUnavailable as error:
        raise Unavailable(str(error)) from None


def _none(claim: Claim) -> bool:
    passwords.waste(claim.password)
    return False


def _krb4(_claim: Claim) -> bool:
    raise Unavailable("Kerberos 4 has no libraries any more; change the account's type to krb5")


def _unix(claim: Claim) -> bool:
    pam = _library("pamela", "pam")
    if not claim.can_be_asked:
        return False
    try:
        _ask_pam(pam, claim)
    except pam.PAMError as error:
        if error.errno in _PAM_UNANSWERED:
            raise Unanswered(f"PAM error {error.errno}") from None
        return False
    return True


def _ask_pam(pam: Any, claim: Claim) -> None:
    # PAM calls it until the end, so it must have a name here.
    conversation = pam.new_simple_password_conv((claim.password,), "utf-8")
    handle = pam.pam_start(PAM_SERVICE, claim.user, conv_func=conversation)
    pam.PAM_SET_ITEM(handle, _PAM_FAIL_DELAY, ctypes.cast(_NO_DELAY, ctypes.c_char_p))
    answer = pam.PAM_AUTHENTICATE(handle, 0) or pam.PAM_ACCT_MGMT(handle, 0)
    pam.pam_end(handle, answer)


def _krb5(claim: Claim) -> bool:
    gssapi = _library("gssapi", "krb5")
    if not claim.can_be_asked:
        return False
    # In the passwd file REALM is all there is; a "/" or "@" in the name would make another principal of it.
    name = "".join("\\" + c if c in "/@\\" else c for c in claim.user)
    try:
        own_key = _own_key(gssapi, claim.hostname)
        principal = gssapi.Name(f"{name}@{claim.info}", gssapi.NameType.kerberos_principal)
        ticket = _ticket(gssapi, principal, claim.password)
        return ticket is not None and _proved(gssapi, ticket, own_key, claim.hostname)
    except gssapi.exceptions.GSSError as error:
        raise Unanswered(f"Kerberos error {_signed(error.min_code)}") from None


def _own_key(gssapi: Any, hostname: str) -> Any:
    service = gssapi.Name(f"{KERBEROS_SERVICE}@{hostname}", gssapi.NameType.hostbased_service)
    try:
        return gssapi.Credentials(name=service, usage="accept")
    except gssapi.exceptions.GSSError as error:
        reason = f"no key of {KERBEROS_SERVICE}@{hostname} in the keytab (Kerberos error {_signed(error.min_code)})"
        raise Unavailable(reason) from None


def _ticket(gssapi: Any, principal: Any, password: bytes) -> Any:
    """The user's credentials, None if the realm does not give any for this password."""
    try:
        mechanisms = [gssapi.MechType.kerberos]
        return gssapi.raw.acquire_cred_with_password(principal, password, mechs=mechanisms, usage="initiate").creds
    except gssapi.exceptions.GSSError as error:
        if _signed(error.min_code) in _KRB5_REFUSALS:
            return None
        raise


def _proved(gssapi: Any, ticket: Any, own_key: Any, hostname: str) -> bool:
    """Whether a ticket for our own service can be got with it that our own key opens."""
    service = gssapi.Name(f"{KERBEROS_SERVICE}@{hostname}", gssapi.NameType.hostbased_service)
    asking = gssapi.SecurityContext(name=service, creds=ticket, mech=gssapi.MechType.kerberos, usage="initiate")
    answering = gssapi.SecurityContext(creds=own_key, usage="accept")
    answering.step(asking.step())
    return bool(answering.complete)


def _signed(code: int) -> int:
    """Kerberos' numbers are negative; GSSAPI carries them as 32 bits without a sign."""
    return (code & 0xFFFFFFFF) - (1 << 32) if code & 0x80000000 else code


def _localauth(claim: Claim) -> bool:
    name, _, argument = claim.info.partition(":")
    function = _entry_point(name)
    if not claim.can_be_asked:
        return False
    try:
        return function(claim.domain, claim.user, claim.password, argument) is True
    except Exception as error:
        raise Unanswered(f"the localauth function raised {type(error).__name__}") from None


@functools.cache
def _entry_point(name: str) -> Callable[[str, str, bytes, str], bool]:
    found = entry_points(group=ENTRY_POINTS, name=name)
    for entry in found:
        try:
            function: Callable[[str, str, bytes, str], bool] = entry.load()
        except Exception as error:
            raise Unavailable(f"a localauth entry point can't be loaded ({type(error).__name__})") from None
        return function
    raise Unusable(f"the entry point group {ENTRY_POINTS} has no such name")


@functools.cache
def _library(module: str, extra: str) -> Any:
    try:
        library: ModuleType = importlib.import_module(module)
    except Exception as error:  # a library whose own system library is missing fails in ways of its own
        reason = f"the library {module} can't be used ({type(error).__name__}); install the extra {extra}"
        raise Unavailable(reason) from None
    return library


_CHECKS: Mapping[str, Callable[[Claim], bool]] = {
    INTERNAL: _internal,
    UNIX: _unix,
    KRB4: _krb4,
    KRB5: _krb5,
    LOCALAUTH: _localauth,
    NONE: _none,
}
