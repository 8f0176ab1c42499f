"""The unified social credit code of legal bodies (统一社会信用代码), as GB 32100-2015 defines it.

Eighteen characters: who registered the body (1), of which category it is (1), the administrative division (6
digits), the organisation code (9), and a check character modulo 31. Since 31 is prime and the weights are
powers of a primitive root, any one wrong character and any swap of two neighbours are found.
"""

from weir.model.problem import ProblemError, refused

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""The standard's 31 characters: no I, O, S, V, Z, which are easily misread."""

LENGTH = 18
WEIGHTS = tuple(pow(3, position, 31) for position in range(LENGTH - 1))
AUTHORITIES = "123456789ANY"
"""First characters that the standard and its amendments assign to registering authorities; Y is any other."""

_VALUE = {letter: value for value, letter in enumerate(ALPHABET)}


def credit_code_check_character(first17: str) -> str:
    """The eighteenth character for the first seventeen; a remainder of 0 gives 0.

    Raises ValueError where these are not seventeen characters of the standard's alphabet.
    """
    if len(first17) != LENGTH - 1 or not all(letter in _VALUE for letter in first17):
        raise ValueError(f"{first17!r} is not 17 characters out of {ALPHABET}")
    total = sum(_VALUE[letter] * weight for letter, weight in zip(first17, WEIGHTS, strict=True))
    return ALPHABET[-total % 31]


def check_credit_code(field: str, code: str) -> None:
    """Pass where the code is well formed; raise ProblemError that says what is wrong with it otherwise."""
    fault = credit_code_fault(code)
    if fault:
        raise _refusal(field, code, fault)


def credit_code_fault(code: str) -> str:
    """What is wrong with the code, in words that say what is accepted; empty where nothing is."""
    if len(code) != LENGTH:
        return f"a unified social credit code has {LENGTH} characters, this has {len(code)}"
    for position, letter in enumerate(code, 1):
        if letter not in _VALUE:
            return f"character {position} is {letter!r}; only these occur: {ALPHABET}"
    if code[0] not in AUTHORITIES:
        return f"character 1 is {code[0]!r}; it names the registering authority, one of {AUTHORITIES}"
    for position, letter in enumerate(code[2:8], 3):
        if not letter.isdigit():
            return f"character {position} is {letter!r}; characters 3 to 8 are the division's digits"
    right = credit_code_check_character(code[:-1])
    if code[-1] != right:
        return f"the check character is {code[-1]!r} and should be {right!r}; compare every character"
    return ""


def _refusal(field: str, code: str, fault: str) -> ProblemError:
    return refused(field, code, fault, kind="invalid-credit-code")
