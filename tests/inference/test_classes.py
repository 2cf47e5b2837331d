"""Classes as people name them, on class names that are numbers, too."""

import pytest

from jaxgen.errors import UsageError
from jaxgen.inference.classes import class_number, class_text

CLASSES = ("ant", "2", "bee", "3", "ant")  # class 1 is called 2, class 3 is called 3, two are called ant


@pytest.mark.parametrize(
    ("text", "number"), [("bee", 2), ("0", 0), ("#1", 1), ("#2", 2), ("3", 3), ("4", 4), ("5", None), ("wasp", None)]
)
def test_class_is_meant_by_its_name_or_number(text, number):
    assert class_number(text, CLASSES) == number


def test_text_that_means_two_classes_is_refused_by_both():
    with pytest.raises(UsageError, match=r"number 1 is called '2', and number 2 is called 'bee'; say #1 or #2"):
        class_number("2", CLASSES)


def test_text_of_a_class_means_that_class_alone():
    assert [class_text(number, CLASSES) for number in range(5)] == ["ant", "#1", "bee", "3", "#4"]
