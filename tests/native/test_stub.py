"""The stub says what the built module has."""

from mypy import stubtest


def test_the_stub_is_true_of_the_built_module() -> None:
    options = stubtest.parse_options(["tina_azr._native", "--ignore-disjoint-bases", "--concise"])
    assert stubtest.test_stubs(options) == 0
