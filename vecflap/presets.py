"""Named defaults of a run."""

from vecflap.config import Config

PRESETS = {
    "fast": Config(),
    "article": Config(
        preset="article",
        network="article",
        envs=1,
        gamma=0.99,
        n_step=1,
        double=False,
        loss="squared",
        caution=0.0,
        clearance=0,
        missed=0.0,
        slipped=0.0,
        flap_bias=0.0,
        priority=0.0,
        correction=0.0,
        clumsy=0.0,
        rehearse=False,
        short=0.0,
        practice=0.0,
        otherwise=0.0,
        displaced=0.0,
        any_score=False,
        batch=32,
        steps_per_update=3,  # its thread has no back-pressure: re-created on 2 cores, an update took 3 steps
        learn_start=100,
        capacity=50_000,
        optimiser="adam",
        lr=2e-4,
        lr_end=2e-4,
        clip=0.0,
        target_every=100,
        average=0.0,
        eps_start=0.0,
        eps_end=0.0,
        steps=200_000,
        eval_every=5_000,
        eval_games=50,
        log_every=1_000,
        save_every=5_000,
    ),
}
"""Named defaults. Where `article` departs from the OneFlow program, networks.Article says so."""
