"""``hydra/sweeper=optuna``: points drawn by Optuna. The study lies on disk and is what a sweep goes on from: a job's number is
its trial's number, so that no folder is used twice and a trial that was running is found again.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from mmcs.errors import UserError
from mmcs.run_folder import COMPLETED, FAILED
from mmcs.sweep.job import Job
from mmcs.sweep.outcome import Outcome
from mmcs.sweep.sweeper import Sweep, Sweeper, split, values_of

_NO_TRIAL = "no_trial"  # on a trial that was not run: it drew the point of another, whose objective it was told
_MOST_REPEATS = 100


class Study(Sweeper):
    """Draws points until ``n_trials`` have ended, failed ones included.

    Args:
        sampler: settings of a sampler of Optuna; its ``seed`` and the trial's number decide what is drawn, so that a study
            that was killed draws what it would have drawn.
        direction: "maximize" or "minimize".
        storage: where the study lies, an URL of Optuna.
        study_name: its name there.
        n_trials: in total.
        n_jobs: points drawn at a time.
        params: further keys to draw, as the command line would write them.
    """

    def __init__(
        self,
        sampler: dict[str, Any],
        direction: str,
        storage: str | None,
        study_name: str,
        n_trials: int,
        n_jobs: int,
        params: Mapping[str, object] | None = None,
    ) -> None:
        if direction not in ("maximize", "minimize"):
            raise UserError(f"hydra.sweeper.direction must be maximize or minimize, got {direction!r}.")
        for name, value in (("n_trials", n_trials), ("n_jobs", n_jobs)):
            if not isinstance(value, int) or value < 1:
                raise UserError(f"hydra.sweeper.{name} must be a whole number >= 1, got {value!r}.")
        self.sampler, self.direction, self.storage, self.study_name = sampler, direction, storage, study_name
        self.n_trials, self.n_jobs, self.params = n_trials, n_jobs, dict(params or {})

    def run(self, sweep: Sweep, overrides: Sequence[Override], parser: OverridesParser) -> None:
        shared, swept = split(self.params, overrides, parser)
        drawn = {key: _distribution(override) for key, override in swept.items()}
        if not drawn:
            raise UserError("nothing to draw: give a key several values (optim.lr=1e-3,1e-4) or an interval.")
        study = self._open(drawn)
        while sweep.stop.signal is None:
            interrupted = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.RUNNING]
            trials = [_again(study, trial, drawn) for trial in interrupted] or self._new(study, drawn)
            if not trials:
                break
            jobs = [self._job(sweep, trial, shared, drawn, bool(interrupted)) for trial in trials]
            if not sweep.record.outcomes and (sentence := _cannot_begin(jobs)):
                for trial in trials:
                    trial.set_user_attr(_NO_TRIAL, "could not begin")
                    study.tell(trial, state=TrialState.FAIL)
                raise UserError(sentence)
            sweep.check(jobs)
            outcomes = sweep.launch(jobs)
            for trial, outcome in zip(trials, outcomes, strict=True):
                _tell(study, trial, outcome)
            if all(own.status == COMPLETED and own.objective is None for own in outcomes):
                print("mmcs-train: note: the jobs complete without an objective; the study stops.", flush=True)
                break

    def _open(self, drawn: Mapping[str, BaseDistribution]) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = self._sampler(0)
        try:
            study = optuna.create_study(
                storage=self.storage,
                sampler=sampler,
                study_name=self.study_name,
                direction=self.direction,
                load_if_exists=True,
            )
        except Exception as error:  # of whatever database the URL names
            raise UserError(
                f"hydra.sweeper.storage={self.storage} cannot be used: {' '.join(str(error).split())}"
            ) from None
        for trial in study.get_trials(deepcopy=False):
            if trial.distributions and trial.distributions.keys() != drawn.keys():
                raise UserError(
                    f"the study in {self.storage} draws {', '.join(sorted(trial.distributions))}, not "
                    f"{', '.join(sorted(drawn))}; choose another hydra.sweep.dir or hydra.sweeper.study_name."
                )
        return study

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        settings = dict(self.sampler)
        if settings.get("seed") is not None:
            digest = hashlib.blake2b(f"{settings['seed']}/{number}".encode(), digest_size=4).digest()
            settings["seed"] = int.from_bytes(digest, "little") >> 1
        try:
            return instantiate(settings)
        except InstantiationException as error:
            raise UserError(f"hydra.sweeper.sampler cannot be used: {' '.join(str(error).split())}") from None

    def _new(self, study: optuna.Study, drawn: Mapping[str, BaseDistribution]) -> list[Trial]:
        """The trials to run next; none when the study is done."""
        known = study.get_trials(deepcopy=False)
        ended = sum(_NO_TRIAL not in trial.user_attrs for trial in known)
        trials: list[Trial] = []
        repeats = 0
        while len(trials) < min(self.n_jobs, self.n_trials - ended):
            if ended + len(trials) >= _points(drawn):
                print("mmcs-train: note: every point of the study is done.", flush=True)
                break
            study.sampler = self._sampler(len(known) + len(trials) + repeats)
            trial = study.ask(dict(drawn))
            earlier = _same(study, trial)
            if earlier is None:
                trials.append(trial)
                continue
            trial.set_user_attr(_NO_TRIAL, f"the same as {earlier.number}")
            if earlier.state == TrialState.COMPLETE:
                study.tell(trial, earlier.value)
            else:
                study.tell(trial, state=TrialState.FAIL)
            repeats += 1
            if repeats == _MOST_REPEATS:
                print(f"mmcs-train: note: {repeats} draws in a row were known points; the study ends here.", flush=True)
                break
        return trials

    def _job(
        self, sweep: Sweep, trial: Trial, shared: Sequence[str], drawn: Mapping[str, BaseDistribution], resume: bool
    ) -> Job:
        point = [f"{key}={trial.params[key]}" for key in drawn]
        return sweep.compose(trial.number, max(self.n_trials, trial.number + 1), shared, point, resume)


def _again(study: optuna.Study, trial: FrozenTrial, drawn: Mapping[str, BaseDistribution]) -> Trial:
    """A running trial of an earlier process, to go on with; what it had not drawn yet is drawn now."""
    own = Trial(study, trial._trial_id)
    for key, distribution in drawn.items():
        own._suggest(key, distribution)
    return own


def _same(study: optuna.Study, trial: Trial) -> FrozenTrial | None:
    """An earlier trial of the same point that has ended, or is under way."""
    others = (own for own in study.get_trials(deepcopy=False) if own.number < trial.number)
    return next((own for own in others if own.params == trial.params and _NO_TRIAL not in own.user_attrs), None)


def _points(drawn: Mapping[str, BaseDistribution]) -> float:
    """How many points there are to draw; infinity where a key has an interval."""
    sizes: list[float] = []
    for own in drawn.values():
        if isinstance(own, CategoricalDistribution):
            sizes.append(len(set(own.choices)))
        elif isinstance(own, IntDistribution):
            sizes.append((own.high - own.low) // own.step + 1)
        else:
            return math.inf
    return math.prod(sizes)


def _cannot_begin(jobs: Sequence[Job]) -> str | None:
    """Why a study of such jobs makes no sense."""
    if all(job.config is None for job in jobs):
        return jobs[0].sentence or "no point of the study can be composed."
    if not any(job.config is not None and job.config["eval"]["val"] for job in jobs):
        return "a study needs an objective, which is measured on eval.val: name a suite there."
    return None


def _tell(study: optuna.Study, trial: Trial, outcome: Outcome) -> None:
    if outcome.status == COMPLETED and outcome.objective is not None:
        study.tell(trial, outcome.objective)
    elif outcome.status in (COMPLETED, FAILED):
        study.tell(trial, state=TrialState.FAIL)
    # What was stopped from outside stays under way: the next call goes on with it.


def _distribution(override: Override) -> BaseDistribution:
    value = override.value()
    if isinstance(value, IntervalSweep):
        return _interval(value, str(override.input_line))
    if (
        isinstance(value, RangeSweep)
        and not value.shuffle
        and all(isinstance(own, int) for own in (value.start, value.step))
    ):
        places = range(int(value.start or 0), int(value.stop or 0), int(value.step))
        if value.step > 0 and places:
            return IntDistribution(places[0], places[-1], step=places.step)
    return CategoricalDistribution(values_of(override))


def _interval(value: IntervalSweep, typed: str) -> BaseDistribution:
    assert value.start is not None and value.end is not None
    log = "log" in value.tags
    if unknown := sorted(value.tags - {"log"}):
        raise UserError(f"{typed}: unknown tag {', '.join(unknown)}; known: log.")
    if not (math.isfinite(value.start) and math.isfinite(value.end)):
        raise UserError(f"{typed}: the bounds must be finite.")
    if value.start >= value.end:
        raise UserError(f"{typed}: the first bound must be less than the second.")
    if log and value.start <= 0:
        raise UserError(f"{typed}: a log scale needs bounds > 0, got {value.start}.")
    if isinstance(value.start, int) and isinstance(value.end, int):
        return IntDistribution(value.start, value.end, log=log)
    return FloatDistribution(float(value.start), float(value.end), log=log)
