"""Sections of the configuration. The defaults are the run that `tina-azr train` makes with the embedded model.

Task modes, reward terms, learnability rules, advantage rules and aggregators are plain names here. Their dictionaries are in layers
above, so that a new entry needs no change in this module. `choose` looks a name up.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tina_azr.config.fields import Section, choice, choices, layers, names, setting, switch

RUNS = Path("runs")
"""Default parent folder of runs. A run that is given by its name is looked up here."""


class ModelConfig(Section):
    """The model that plays, and how it is loaded."""

    name: str = choice("tiny")
    """`tiny` or `tiny-warm` (embedded), a folder in Hugging Face's layout, or a hub name."""
    dtype: Literal["float32", "bfloat16"] = choice("float32")
    """Type of the stored parameters that the optimizer steps on. A learning rate near 1e-6 is below bfloat16's resolution."""
    device: str = choice("auto")
    """`auto` (a GPU if torch sees one), `cpu`, `cuda` or `cuda:N`."""
    prompts: Literal["auto", "full", "compact"] = choice("auto")
    """Prompt set: worded (`full`), the embedded model's few fixed words (`compact`), or what the model's folder says (`auto`)."""


class SandboxConfig(Section):
    """Limits of one program run. Each limit has an outcome of its own."""

    policy: Literal["strict", "standard", "open"] = choice("standard")
    """Static check before a run. It only rejects programs early, with a readable reason; WebAssembly is what isolates them."""
    fuel: int = setting(200_000_000, unit="instructions", ge=1_000_000, le=1_000_000_000_000)
    """Approximate WebAssembly instructions. A trivial program takes 0.5 M, a loop of 100 k iterations 100 M. The count is deterministic."""
    wall_ms: int = setting(5_000, unit="milliseconds", ge=50, le=600_000)
    """Wall-clock time; a coarse watchdog in addition to fuel."""
    memory_mb: int = setting(128, unit="MiB", ge=64, le=4_096)
    """Linear memory of the guest, interpreter included."""
    output_bytes: int = setting(16_384, unit="bytes", ge=64, le=16_777_216)
    """Limit for the result's literal, and separately for printed text."""
    workers: int = setting(0, unit="threads", ge=0, le=1_024)
    """Programs run at once; 0: one for each core."""


class TasksConfig(Section):
    """Task modes, limits of a task, and the task buffer."""

    modes: tuple[str, ...] = choices(("deduction", "abduction", "induction"))
    """Task modes that are played; keys of `tina_azr.tasks.modes.MODES`."""
    references: int = setting(1, unit="programs", ge=0, le=64)
    """Known programs in the proposer's prompt, from which the new program must differ."""
    induction_inputs: int = setting(5, unit="inputs", ge=2, le=64)
    """Inputs that an induction proposal must give."""
    induction_visible: int = setting(3, unit="pairs", ge=1, le=63)
    """Pairs that the solver sees, drawn at random. Its program is graded on the others."""
    max_program_chars: int = setting(600, unit="characters", ge=16, le=65_536)
    """Longest program of a task."""
    max_value_chars: int = setting(80, unit="characters", ge=1, le=65_536)
    """Longest canonical literal of an input or output. Longer ones are rejected, never truncated."""
    max_message_chars: int = setting(150, unit="characters", ge=0, le=65_536)
    """Longest induction message."""
    max_prompt_tokens: int = setting(176, unit="tokens", ge=16, le=262_144)
    """Longest prompt of a proposer or solver."""
    max_repeats_of_structure: int = setting(8, unit="tasks", ge=1, le=1_000_000)
    """Tasks of one template (equal up to numbers and strings) among the 1,500 newest. A further one is a duplicate."""
    buffer_size: int = setting(4_096, unit="tasks", ge=16, le=10_000_000)
    """Tasks kept in the buffer. When it is full the least useful task is evicted."""
    seed_share: float = setting(0.5, unit="share", ge=0, le=1)
    """Share of references drawn from the fixed seed set instead of the run's own tasks."""
    extend_share: float = setting(0.5, unit="share", ge=0, le=1)
    """Share of proposals that are asked to extend their reference by a statement instead of differing from it."""

    @model_validator(mode="after")
    def _some_pairs_stay_hidden(self) -> Self:
        if self.induction_visible >= self.induction_inputs:
            raise ValueError(
                f"induction_visible ({self.induction_visible}) must be below induction_inputs ({self.induction_inputs}), "
                "or no hidden pair is left to grade the answer by"
            )
        if len(set(self.modes)) != len(self.modes):
            raise ValueError(f"modes names one mode twice: {', '.join(self.modes)}")
        return self


class SelfplayConfig(Section):
    """Size of one self-play round, and how its rollouts are sampled."""

    proposals_per_mode: int = setting(14, unit="rollouts", ge=1, le=65_536)
    """Proposer rollouts for each task mode in a step."""
    group_size: int = setting(8, unit="rollouts", ge=2, le=1_024)
    """Solver rollouts of each task. They measure its pass rate and are trained on."""
    max_tokens: int = setting(160, unit="tokens", ge=8, le=262_144)
    """Longest completion, reasoning and answer together."""
    think_limit: int | None = setting(None, unit="tokens", ge=1, le=262_144)
    """Hard cap on reasoning tokens; null: none. At the cap the reasoning is closed by force, and the forced tokens are left out of the
    loss."""
    temperature: float = setting(1.0, unit="number", gt=0, le=10)
    """Sampling temperature. The loss takes log-probabilities at the same temperature."""
    slots: int = setting(128, unit="sequences", ge=1, le=65_536)
    """Sequences decoded at once; each holds its own KV cache."""
    length_cap: float | None = setting(0.3, unit="share", ge=0, le=1)
    """Pass rate from which a program length counts as solved. Proposals may be one statement longer than the longest solved length. null:
    no cap."""
    induction_min_pass_rate: float = setting(0.0, unit="share", ge=0, lt=1)
    """Induction groups are trained on only if their pass rate is above this. 0: at least one rollout must succeed."""
    random_rewards: bool = switch(False)
    """Random-reward control: rewards are shuffled within each stratum, so that they carry no information. Accuracy must not rise."""

    @model_validator(mode="after")
    def _room_for_an_answer(self) -> Self:
        if self.think_limit is not None and self.think_limit >= self.max_tokens:
            raise ValueError(
                f"think_limit ({self.think_limit}) must be below max_tokens ({self.max_tokens}), to leave room for an answer"
            )
        return self


class RewardsConfig(Section):
    """Reward of each outcome. The values are AZR's, except `unlearnable`, which AZR sets to -0.5."""

    learnability: str = choice("one_minus")
    """Rule from pass rate to proposer reward for tasks with mixed outcomes: `one_minus` (AZR), `parabola`, `gaussian`."""
    invalid: float = setting(-1.0, unit="reward", ge=-100, le=100)
    """Proposal that is malformed or fails validation."""
    duplicate: float = setting(-0.5, unit="reward", ge=-100, le=100)
    """Valid proposal that is already known."""
    unlearnable: float = setting(0.0, unit="reward", ge=-100, le=100)
    """Valid proposal that every rollout or no rollout solves."""
    correct: float = setting(1.0, unit="reward", ge=-100, le=100)
    """Correct solver answer."""
    wrong: float = setting(-0.5, unit="reward", ge=-100, le=100)
    """Well-formed but wrong solver answer."""
    malformed: float = setting(-1.0, unit="reward", ge=-100, le=100)
    """Solver completion without an answer in the form that was asked for."""
    proposer_terms: tuple[str, ...] = choices(("learnability",))
    """Reward terms that are summed for a valid proposal."""
    solver_terms: tuple[str, ...] = choices(("correctness",))
    """Reward terms that are summed for a solver rollout."""


class LearningConfig(Section):
    """Policy-gradient step: clipped, without a KL term, one optimizer step for each batch."""

    advantage: str = choice("trr_pp")
    """Advantage rule: a key of `tina_azr.train.advantages.ADVANTAGES`."""
    train_proposer: bool = switch(True)
    """Whether proposer rollouts are trained on, in addition to solver rollouts."""
    lr: float = setting(3e-4, unit="1/step", gt=0, le=1)
    """AdamW's learning rate after warm-up."""
    beta2: float = setting(0.95, unit="number", ge=0, lt=1)
    """AdamW's decay of the second moment."""
    warmup_steps: int = setting(5, unit="steps", ge=0, le=1_000_000)
    """Steps over which the learning rate rises linearly."""
    clip_low: float = setting(0.2, unit="number", gt=0, lt=1)
    """Probability ratios below 1 - clip_low carry no gradient if the advantage is negative."""
    clip_high: float = setting(0.28, unit="number", gt=0, le=10)
    """Probability ratios above 1 + clip_high carry no gradient if the advantage is positive."""
    max_grad_norm: float = setting(1.0, unit="number", gt=0, le=1e6)
    """Norm above which the gradient is scaled down."""
    micro_batch_tokens: int = setting(4_096, unit="tokens", ge=16, le=10_000_000)
    """Tokens of prompts and completions in one forward and backward pass. It changes memory, not results."""
    gradient_checkpointing: bool = switch(False)
    """Keep only each layer's input and recompute the rest in the backward pass. It takes far less memory and a third more compute, and the
    results are the same."""
    autocast: Literal["none", "bfloat16"] = choice("none")
    """Compute type of the learner's forward pass; logits and loss stay in float32."""
    length_normalisation: Literal["sample", "token"] = choice("sample")
    """Weights in the loss: each rollout weighs the same (`sample`), or each token does (`token`, as in the original)."""


class IntrospectionConfig(Section):
    """Metacognitive heads: their training, and what they may change. With the defaults they change nothing."""

    heads: tuple[str, ...] = names(("tap",))
    """Forms of heads (`linear`, `tap`, `linked`) that learn from the run's own rollouts. The first is the primary one; the others are for
    comparison. An empty list trains no heads."""
    taps: tuple[int, ...] | Literal["all"] | None = layers(None)
    """Decoder layers that the heads read, counted from 0, or `all`. null: layers 8, 16, 24 and 32 of 36, or the same relative depths."""
    width: int = setting(128, unit="features", ge=1, le=65_536)
    """Hidden features of `tap` and `linked` heads."""
    aggregator: str = choice("attention")
    """How `linked` heads pool layers: a key of `tina_azr.introspection.heads.AGGREGATORS`."""
    calibration_share: float = setting(0.1, unit="share", ge=0, lt=1)
    """Share of programs, chosen by hash, whose tasks the heads do not learn from. Calibration and report use them."""
    probe_share: float = setting(0.1, unit="share", ge=0, le=1)
    """Share of tasks with plan probes: rollouts without reasoning, and with each plan as a hint. They label the plan head and do not
    train the policy."""
    chained_share: float = setting(0.2, unit="share", ge=0, le=4)
    """Chained tasks (two known programs in a row), as a share of a step's tasks. They are solved only to train the heads."""
    reward: str = choice("off")
    """Introspection bonus of a proposer: the debiased error of the forecast of its task (`calibration_surprise`), the formula of the
    founding document (`seed_legacy`), or none."""
    coeff: float = setting(0.2, unit="number", ge=0, le=10)
    """Weight of that bonus. With 0 the results are bit-identical to `off`."""
    sample_by_confidence: bool = switch(False)
    """Draw known tasks with weight 0.1 + 4 c (1 - c) instead of by their pass rate. c is the last confidence before reasoning."""
    budget_share: float = setting(0.0, unit="share", ge=0, le=0.25)
    """Share of solver groups whose reasoning is cut at the predicted think limit. Labels from cut reasoning are censored."""
    skip_below: float = setting(0.0, unit="probability", ge=0, le=1)
    """Served prompts with a lower confidence before reasoning are answered without reasoning; 0: none."""
    obey_stop_plan: bool = switch(False)
    """Served prompts whose plan is `stop` are answered without reasoning."""
    slack: float = setting(0.5, unit="share", ge=0, le=10)
    """The think limit is budget * (1 + slack). For a predicted budget the .95 quantile gives the slack instead, from 0.1 to 1."""
    min_think_tokens: int = setting(0, unit="tokens", ge=0, le=262_144)
    """Smallest budget, in reasoning tokens. Above 0 a served model cannot close its reasoning earlier. The default is 0, because self-play
    does not hold reasoning open, so heads and calibration have not seen it. A request for 0 is always allowed."""
    max_think_tokens: int = setting(4_096, unit="tokens", ge=1, le=262_144)
    """Largest budget, in reasoning tokens."""
    calibration: str | None = setting(None, unit="file", min_length=1)
    """Calibration file for confidences and budgets of served requests. null: the one in the model's folder, if it has one."""
    tags: tuple[str, ...] = names(())
    """Further tag pairs whose tokens are counted in served completions, by name: `plan` for `<plan>`. They stay plain text."""

    @field_validator("taps", mode="before")
    @classmethod
    def _yaml_has_no_tuples(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("reward", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        # YAML reads a bare `off` as false.
        return "off" if value is False else value

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if len(set(self.heads)) != len(self.heads):
            raise ValueError(f"heads names one form twice: {', '.join(self.heads)}")
        if self.min_think_tokens > self.max_think_tokens:
            raise ValueError(f"min_think_tokens ({self.min_think_tokens}) is above max_think_tokens ({self.max_think_tokens})")
        acts = self.sample_by_confidence or self.budget_share > 0 or (self.reward != "off" and self.coeff > 0)
        if acts and not self.heads:
            raise ValueError("reward, sample_by_confidence and budget_share need heads: name a form in heads")
        return self


class HeldoutConfig(Section):
    """Held-out evaluation, which shows learning. Its tasks are frozen and never trained on."""

    every: int = setting(10, unit="steps", ge=1, le=1_000_000)
    """Steps between evaluations. Step 0 and the last step are always evaluated."""
    per_cell: int = setting(64, unit="tasks", ge=1, le=100_000)
    """Tasks for each mode and program length."""
    tasks: str = choice("report")
    """`report`: the embedded set for results. `choose`: the embedded set for choosing settings by. Anything else: a JSONL file of tasks."""
    greedy: bool = switch(True)
    """Evaluate greedy decoding as well as temperature 1."""


class RunConfig(Section):
    """Length of a run, and its checkpoints."""

    steps: int = setting(60, unit="steps", ge=1, le=10_000_000)
    """Steps of self-play and learning."""
    max_minutes: float | None = setting(15.0, unit="minutes", gt=0, le=1_000_000)
    """The run ends before a step that, together with the last held-out evaluation, might take longer than this. null: no limit."""
    checkpoint_every: int = setting(10, unit="steps", ge=1, le=1_000_000)
    """Steps between checkpoints. The last step always has one."""
    keep_checkpoints: int = setting(2, unit="checkpoints", ge=1, le=100_000)
    """Newest checkpoints that are kept. A checkpoint that `tina-azr calibrate` has written to is always kept."""
    threads: int = setting(0, unit="threads", ge=0, le=1_024)
    """Threads of torch; 0: torch's own choice, or 1 when an embedded model is served. On a CPU another number can change the last bit of
    results."""


class ServeConfig(Section):
    """Server of `tina-azr serve`: its address, its limits, and what clients may see. `chat` and `observe` use its engine settings."""

    host: str = choice("127.0.0.1")
    """Address to listen on. One that other machines reach needs a key (TINA_AZR_API_KEY, or a file)."""
    port: int = setting(8_000, unit="port", ge=0, le=65_535)
    """TCP port; 0: a free one, which is printed."""
    hosts: tuple[str, ...] = names(())
    """Further accepted values of the Host header, `name` or `name:port`: another name, a tunnel, a proxy."""
    slots: int = setting(32, unit="completions", ge=1, le=65_536)
    """Completions decoded at once; each holds its own KV cache. The others wait."""
    kv_tokens: int | None = setting(None, unit="tokens", ge=16, le=1_000_000_000)
    """Most tokens, of prompts and completions, whose keys and values are held at once; null: no bound. Qwen3-4B takes 147 kB each."""
    queue: int = setting(256, unit="completions", ge=1, le=100_000)
    """Most completions in flight, running and waiting. A request beyond that is answered with status 429."""
    request_seconds: float = setting(600.0, unit="seconds", gt=0, le=86_400)
    """Longest time for one request, waiting included. Its answer is the text until then."""
    grace_seconds: float = setting(20.0, unit="seconds", ge=0, le=3_600)
    """Time that running requests may take at shutdown. Then they end with the tokens that they have."""
    allow_visible_reasoning: bool = switch(False)
    """Whether a request may ask for the text of the reasoning. `chat` and `observe` always allow it."""
    abstain_below: float | None = setting(None, unit="probability", ge=0, le=1)
    """Answers with a lower confidence are marked `abstain`; null: none."""


class Config(Section):
    """Everything that decides a run. Two runs with equal values here give equal metrics on one CPU."""

    mode: Literal["self_play"] = choice("self_play")
    """The only mode: the model proposes tasks, the sandbox validates them, the model solves them and learns. There is no supervised
    training."""
    seed: int = setting(0, unit="number", ge=0, le=2**32 - 1)
    """Every random choice of a run is derived from (seed, step, phase)."""
    model: ModelConfig = Field(default_factory=ModelConfig)
    sandbox: SandboxConfig = Field(default_factory=SandboxConfig)
    tasks: TasksConfig = Field(default_factory=TasksConfig)
    selfplay: SelfplayConfig = Field(default_factory=SelfplayConfig)
    rewards: RewardsConfig = Field(default_factory=RewardsConfig)
    learning: LearningConfig = Field(default_factory=LearningConfig)
    introspection: IntrospectionConfig = Field(default_factory=IntrospectionConfig)
    heldout: HeldoutConfig = Field(default_factory=HeldoutConfig)
    run: RunConfig = Field(default_factory=RunConfig)
    serve: ServeConfig = Field(default_factory=ServeConfig)
