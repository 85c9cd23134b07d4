"""The benchmark that the documentation quotes runs, and its checks hold."""

from click.testing import CliRunner

from tina_azr.benchmarks.rollout import main


def test_it_compares_rates_ids_and_log_probabilities() -> None:
    result = CliRunner().invoke(main, ["tiny", "--prompts", "3", "--group", "2", "--rounds", "1"])
    assert result.exit_code == 0, result.output
    assert "greedy ids equal in 3 of 3 prompts" in result.output
    assert float(result.output.rpartition(" ")[2]) < 1e-4
