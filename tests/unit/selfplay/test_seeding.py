"""Random choices depend on seed, step and phase, and on nothing else."""

from tina_azr.selfplay.seeding import RandomStream, generator, request_seeds


def test_the_same_seed_step_and_phase_draw_the_same() -> None:
    assert (
        generator(3, 7, RandomStream.REFERENCES).random(4).tolist() == generator(3, 7, RandomStream.REFERENCES).random(4).tolist()
    )


def test_changing_any_of_the_three_changes_the_draw() -> None:
    draws = {
        generator(seed, step, phase).random()
        for seed, step, phase in [
            (0, 1, RandomStream.PROPOSE),
            (1, 1, RandomStream.PROPOSE),
            (0, 2, RandomStream.PROPOSE),
            (0, 1, RandomStream.SOLVE),
        ]
    }
    assert len(draws) == 4


def test_request_seeds_do_not_depend_on_how_many_are_asked_for() -> None:
    assert request_seeds(0, 5, RandomStream.SOLVE, 40)[:10] == request_seeds(0, 5, RandomStream.SOLVE, 10)


def test_request_seeds_fit_a_signed_64_bit_integer_and_differ() -> None:
    seeds = request_seeds(2**32 - 1, 10**6, RandomStream.HELDOUT, 1000)
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
