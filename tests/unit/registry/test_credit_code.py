"""The unified social credit code: real ones pass, every slip is found and named."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from weir.model.problem import ProblemError
from weir.registry import check_credit_code, credit_code_check_character
from weir.registry.credit_code import ALPHABET, AUTHORITIES, WEIGHTS, credit_code_fault
from weir.registry.this_machine import ORGANISATION

# Published by the bodies themselves: companies in five provinces, and a university.
REAL = (
    "91330100799655058B",
    "914403001922038216",
    "9144030071526726XG",
    "91110000802100433B",
    "911100007109250324",
    "12100000485001086E",
)

first17 = st.builds(
    lambda authority, category, division, rest: authority + category + division + rest,
    st.sampled_from(AUTHORITIES),
    st.sampled_from(ALPHABET),
    st.text("0123456789", min_size=6, max_size=6),
    st.text(ALPHABET, min_size=9, max_size=9),
)
codes = first17.map(lambda body: body + credit_code_check_character(body))


@pytest.mark.parametrize("code", [*REAL, ORGANISATION])
def test_codes_in_use_pass(code: str) -> None:
    check_credit_code("id", code)
    assert code[-1] == credit_code_check_character(code[:-1])


def test_the_weights_are_those_of_the_standard() -> None:
    assert (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28) == WEIGHTS


def test_a_remainder_of_zero_gives_the_check_character_0() -> None:
    body = "91340100000000006"
    total = sum(ALPHABET.index(letter) * weight for letter, weight in zip(body, WEIGHTS, strict=True))
    assert 0 == total % 31
    assert "0" == credit_code_check_character(body)


@given(codes, st.integers(0, 17), st.sampled_from(ALPHABET))
def test_any_one_wrong_character_is_found(code: str, position: int, letter: str) -> None:
    assume(code[position] != letter)
    assert credit_code_fault(code[:position] + letter + code[position + 1 :])


@given(codes, st.integers(0, 16))
def test_any_swap_of_two_unlike_neighbours_is_found(code: str, position: int) -> None:
    left, right = code[position], code[position + 1]
    assume(left != right)
    assert credit_code_fault(code[:position] + right + left + code[position + 2 :])


@given(st.text(max_size=40))
def test_any_text_is_judged_without_failing(text: str) -> None:
    fault = credit_code_fault(text)
    assert fault or credit_code_check_character(text[:17]) == text[17]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("9133010079965505", "has 18 characters, this has 16"),
        ("91330100799655O58B", "character 15 is 'O'"),
        ("91330100799655058b", "character 18 is 'b'"),
        ("91330100799655058C", "the check character is 'C' and should be 'B'"),
        ("Q1330100799655058B", "character 1 is 'Q'; it names the registering authority"),
        ("9133A100799655058B", "character 5 is 'A'; characters 3 to 8"),
    ],
)
def test_what_is_wrong_is_said(code: str, said: str) -> None:
    with pytest.raises(ProblemError) as caught:
        check_credit_code("organisations[0].id", code)
    [problem] = caught.value.problem.fields
    assert ("organisations[0].id", code) == (problem.field, problem.value)
    assert said in problem.accepted


@pytest.mark.parametrize("body", ["", "9" * 16, "9" * 18, "9" * 16 + "I"])
def test_a_check_character_needs_seventeen_good_characters(body: str) -> None:
    with pytest.raises(ValueError, match="is not 17 characters"):
        credit_code_check_character(body)
