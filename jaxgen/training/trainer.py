"""The training loop: reads batches; writes checkpoints, metrics and images."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from jaxgen import data
from jaxgen.config import Config
from jaxgen.data.catalog import absolute
from jaxgen.errors import Interrupted, JaxgenError, UsageError, disk_fault, explain
from jaxgen.models import network as networks
from jaxgen.models.network import Params
from jaxgen.models.numerics import root_key
from jaxgen.runs.evaluation import EvaluationRequest, agreed, write_evaluation
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.sessions import Progress
from jaxgen.training import distributed
from jaxgen.training.checkpoints import Checkpoints, SaveError
from jaxgen.training.data_loading import open_data
from jaxgen.training.distillation import load_teacher
from jaxgen.training.divergence import Diverged, DivergenceCheck, not_finite
from jaxgen.training.environment import changes, describe_environment
from jaxgen.training.evaluation import Evaluator, load_evaluator
from jaxgen.training.families import learner
from jaxgen.training.monitor import ClassifierProbe, Monitor, classifier_probe
from jaxgen.training.resuming import Past
from jaxgen.training.run_logger import RunLogger
from jaxgen.training.signals import StopSignal
from jaxgen.training.students import complete_pairs, with_pairs
from jaxgen.training.teacher import Teacher
from jaxgen.training.train_step import (
    LONGEST_SCAN,
    TrainState,
    abstract_state,
    chunk_length,
    compute_dtype,
    device_mesh,
    learning_rate,
    make_init,
    make_steps,
    scan_steps,
    total_steps,
)


def train(
    config: Config, folder: Path, *, data_dir: Path | None = None, classifier: Path | None = None,
    teacher: Path | None = None, evaluation: EvaluationRequest | None = None, stop: StopSignal | None = None,
    resume: bool = False, accept_data: bool = False, prepared: Callable[[], None] = lambda: None,
) -> Path:  # fmt: skip
    """Train, or resume from the folder's newest whole checkpoint; returns the last checkpoint.

    resume: `config` may differ from the folder's, and replaces it. The folder's config is written after all checks, so
    that a command with a mistake leaves nothing behind, and only if steps follow. accept_data: a run that goes on may
    do so with other data than before, by the class names that were trained. classifier: a classifier's run, to watch
    the classes of the samples; teacher: the run to learn from; evaluation: by which scores; a resumed run keeps all of
    them by default; prepared: called when the run begins to show its own progress.
    Raises UsageError if the folder holds something else or was trained on other data, Interrupted after saving on
    SIGINT or SIGTERM, Diverged on a loss that is not finite, JaxgenError after saving on any other exception.
    """
    stop = stop or StopSignal()
    run = RunFolder(folder)
    config = replace(config, data=replace(config.data, dataset=absolute(config.data.dataset)))
    is_main = jax.process_index() == 0
    with stop.handled(), ExitStack() as stack:
        if is_main and not resume:
            run.check(config)
        if is_main:
            stack.enter_context(run.locked())
        classifier_run = classifier or (run.classifier() if resume else None)
        teacher_run = teacher or (run.teacher() if resume else None)
        judge = partial(classifier_probe, config, classifier_run, optional=classifier is None)
        known = run.teacher_record() if run.checkpoints.is_dir() else None
        teach = partial(load_teacher, config, teacher_run, known)
        scored = agreed(evaluation or EvaluationRequest(), run, resume=resume)
        evaluate = partial(load_evaluator, config, scored, data_dir)
        past = Past.of(run, accept=accept_data)
        trainer = stop.side_work(lambda: Trainer.prepare(config, run, data_dir, judge, teach, evaluate, stop, past))
        prepared()
        with stop.deferred():
            if trainer is None:  # the signal came during the preparation
                raise Interrupted("interrupted before there was anything to save", stop.signal or signal.SIGINT)
            if is_main and trainer.start < trainer.total:
                machine = describe_environment()
                if past and (other := changes(run.machine(), machine)):
                    trainer.notes.append(f"not bit for bit what would have followed before: {', '.join(other)}")
                run.write(
                    config, data_dir, trainer.batches.classes, classifier_run, teacher_run, machine=machine,
                    teacher_record=trainer.teacher.record if trainer.teacher else None,
                    palette=trainer.batches.palette, data_record=trainer.batches.identity.to_dict(), step=trainer.start,
                )  # fmt: skip
                write_evaluation(run, trainer.evaluator.settings if trainer.evaluator else scored)
            return trainer.run_to_end()


@dataclass
class Trainer:
    """A run in progress."""

    config: Config
    run: RunFolder
    stop: StopSignal
    batches: data.Batches  # of this process
    monitor: Monitor
    evaluator: Evaluator | None
    state: TrainState
    start: int
    total: int
    sample_every: int
    checkpoint_every: int
    scan: int
    checkpoints: Checkpoints
    make_call: jax.stages.Wrapped  # compiled into `calls`
    saved: int  # step of the newest checkpoint, the same in all processes
    finite: int  # the last step whose metrics were seen to be finite: `state` is worth saving only there
    rows: NamedSharding
    check: DivergenceCheck
    offset: int  # from a step to the number of its batch; not 0 if the batch was of another size before
    notes: list[str]  # what is to be said of a run that goes on otherwise than before
    teacher: Teacher | None = None
    calls: dict[int, Callable[..., Any]] = field(default_factory=dict)  # compiled, by number of steps

    @classmethod
    def prepare(
        cls,
        config: Config,
        run: RunFolder,
        data_dir: Path | None,
        judge: Callable[..., ClassifierProbe | None],
        teach: Callable[[], Teacher | None],
        evaluate: Callable[[], Evaluator | None],
        stop: StopSignal,
        past: Past | None = None,
    ) -> Trainer:
        """Load the data, build the network, restore the newest checkpoint."""
        training = config.training
        batches, test = open_data(config, data_dir, past)
        evaluator = evaluate()
        mesh = device_mesh()
        if training.batch_size % mesh.size:
            raise UsageError(f"training.batch_size {training.batch_size} does not divide over {mesh.size} devices")
        dtype, teacher = compute_dtype(training.dtype), teach()
        network = networks.build(config, dtype)
        learns = partial(learner, config, network, teacher=teacher)
        batches = with_pairs(batches, config, teacher, run.path)
        checkpoints = Checkpoints(run.checkpoints, training.keep)
        say = None if jax.process_index() == 0 else lambda line: None
        like = abstract_state(learns(schedule=learning_rate(training, 1)), mesh)
        state = checkpoints.restore(like, say=say) if checkpoints.steps() else None
        distributed.require_equal(0 if state is None else int(state.step), "the newest checkpoint's step")
        start = 0 if state is None else int(state.step)
        progress = (past.progress if past else Progress.of({}, training.batch_size)).then(start, training.batch_size)
        total = total_steps(config, batches.steps_per_epoch, progress)
        changed = past and past.in_words(config, start, total, batches.steps_per_epoch, batches.identity.count)
        algorithm = learns(schedule=learning_rate(training, total))
        if state is None:
            state = make_init(algorithm, mesh)(root_key(training.seed))
        probe = judge(identity=batches.identity)
        return cls(
            config=config, run=run, stop=stop, batches=batches,
            monitor=Monitor(config, test, probe, total, built=network if dtype == "float32" else None),
            evaluator=evaluator, state=state, start=start, total=total,
            sample_every=training.sample_every or batches.steps_per_epoch,
            checkpoint_every=training.checkpoint_every or training.checkpoint_epochs * batches.steps_per_epoch,
            scan=scan_steps(config, batches.steps_per_epoch),
            checkpoints=checkpoints, saved=start, finite=start,
            make_call=make_steps(algorithm.update, mesh),
            rows=NamedSharding(mesh, PartitionSpec(None, "data")),
            check=DivergenceCheck(run, checkpoints, min(training.log_every, LONGEST_SCAN)),
            teacher=teacher, offset=progress.offset, notes=[changed] if changed else [],
        )  # fmt: skip

    @property
    def is_main(self) -> bool:
        return jax.process_index() == 0

    def run_to_end(self) -> Path:
        """Run the remaining steps, with each event at its step; returns the last checkpoint."""
        training = self.config.training
        if self.is_main:
            self.run.forget_after(self.start)
            self.checkpoints.set_aside_after(self.start)
        logger = RunLogger(
            self.run, start=self.start, total=self.total, batch_size=training.batch_size,
            log_every=training.log_every, main=self.is_main,
        )  # fmt: skip
        with logger, ThreadPoolExecutor(1) as loader:
            for line in (self._headline(), *self.notes):
                logger.say(line)
            if self.evaluator and self.start < self.total:
                logger.say(self.evaluator.headline())
            step, periods = self.start, (self.checkpoint_every, self.sample_every)
            length = partial(chunk_length, total=self.total, scan=self.scan, periods=periods)
            try:
                ready = step < self.total and complete_pairs(self.batches, logger.say, self.stop)
                upcoming = loader.submit(self._load, step, length(step)) if ready else None
                while upcoming:
                    images, labels = upcoming.result()
                    call = self._compiled(logger, step, images, labels)
                    if self._signal() or call is None:
                        break
                    self.state, metrics = call(self.state, images, labels, self._key())
                    done, step = step, step + len(images)
                    upcoming = loader.submit(self._load, step, length(step)) if step < self.total else None
                    self._check_and_log(logger, done + 1, jax.device_get(metrics))
                    self._events(logger, done, step)
            except (Interrupted, Diverged):
                raise
            except Exception as err:
                raise self._saved_first(err, step) from err
        return self._finish(logger, step)

    def _headline(self) -> str:
        if self.start >= self.total:
            more = f"jaxgen train --resume {shlex.quote(str(self.run.path))} --set training.steps=..."
            kept = "" if self.run.config(say=lambda line: None) == self.config else "; its config stays as it was"
            return f"{self.run.path} is finished: step {self.start} of {self.total}{kept}; for more: {more}"
        size = networks.parameter_count(self.state.params)
        where = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
        what = f"going on at step {self.start}" if self.start else "training"
        return f"{what}: {self.config.name}, {size:,} parameters, {self.total:,} steps, on {where}, in {self.run.path}"

    def _key(self) -> Array:
        return root_key(self.config.training.seed)

    def _signal(self) -> int:
        """The signal that any process received, or 0; all processes then stop after the same step."""
        return distributed.largest(self.stop.signal or 0)

    def _load(self, step: int, count: int) -> tuple[Array, Array]:
        """`count` batches from `step` on, stacked and spread over the devices; labels may be a tree of arrays."""
        first = step + self.offset
        images, labels = zip(*(self.batches[first + i] for i in range(count)), strict=True)
        place = partial(jax.make_array_from_process_local_data, self.rows)
        return place(np.stack(images)), jax.tree.map(lambda *leaves: place(np.stack(leaves)), *labels)

    def _compiled(self, logger: RunLogger, step: int, images: Array, labels: Array) -> Callable[..., Any] | None:
        """The compiled call for this many steps; None if a signal came while it was being compiled."""
        count = len(images)
        if count not in self.calls:
            logger.compiling(step)
            call = self.stop.side_work(lambda: self.make_call.lower(self.state, images, labels, self._key()).compile())
            if call is None:
                return None
            self.calls[count] = call
            logger.compiled(step)
        return self.calls[count]

    def _check_and_log(self, logger: RunLogger, first: int, metrics: dict[str, np.ndarray]) -> None:
        """Log the steps of a call, from `first` on; raise JaxgenError at a non-finite step, before it is saved."""
        good = self.check.finite_steps(metrics)
        if good == len(metrics["loss"]):
            self.finite = first + good - 1
        if good:
            logger.steps(first, {name: values[:good] for name, values in metrics.items()})
        if good < len(metrics["loss"]):
            values = {name: values[good] for name, values in metrics.items()}
            raise self.check.error(first + good, {"loss": values["loss"], **not_finite(values)})

    def _events(self, logger: RunLogger, before: int, step: int) -> None:
        """Save a checkpoint, evaluate and write the diagnostics, if they are due after a call from step `before`."""
        last = step == self.total
        evaluator = self.evaluator if self.evaluator and self.evaluator.due(before, step, self.total) else None
        if step % self.checkpoint_every == 0 or last or evaluator:
            scores = self.stop.side_work(lambda: self.monitor.test_loss(self._local_weights())) or {}
            if bad := not_finite(scores):
                raise self.check.error(step, bad, "test ")
            if scores:
                logger.scalars(step, {f"test_{name}": value for name, value in scores.items()})
            fid = evaluator.run(self.monitor, self._local_weights, step, logger, self.stop) if evaluator else None
            self._save(step, scores.get("loss"), fid)
            logger.restart_clock(step)
        if (step % self.sample_every == 0 or last) and self.stop.signal is None:
            metrics = self.check.means() | {"step": step}
            diagnostics = self.stop.side_work(lambda: self.monitor.watch(self._local_weights(), metrics))
            if diagnostics is not None:
                logger.images(step, diagnostics.images)
                if diagnostics.scalars:
                    logger.scalars(step, diagnostics.scalars)
                for warning in diagnostics.warnings.values():
                    logger.say(f"warning: step {step}: {warning}")
            logger.restart_clock(step)

    def _save(self, step: int, score: float | None = None, fid: float | None = None) -> None:
        self.checkpoints.save(self.state, score, fid=fid)
        self.saved = step

    def _saved_first(self, err: Exception, step: int) -> JaxgenError:
        """The error for an exception in the loop, in one line with what is safe and how to go on, after saving.

        Nothing is saved if the exception was of saving itself, if the state of `step` was lost in a call (its buffers
        are donated), or in one of several processes: saving waits for all of them.
        """
        reason, code = explain(err)
        whole = step == self.finite and not any(leaf.is_deleted() for leaf in jax.tree.leaves(self.state))
        if step != self.saved and whole and jax.process_count() == 1 and not isinstance(err, SaveError):
            try:
                self._save(step)
            except JaxgenError as failure:
                reason = f"{reason}; {failure}"
        if not self.saved:
            safe = "nothing was saved yet"
        elif self.saved == step:
            safe = f"saved at step {step}"
        else:
            safe = f"the checkpoint of step {self.saved} is safe"
        mended = "make room or mend the disk, then " if disk_fault(err) else ""
        line = f"{reason}; {safe}; {mended}go on with: jaxgen train --resume {shlex.quote(str(self.run.path))}"
        error = JaxgenError(line)
        error.exit_code = code
        return error

    def _local_weights(self) -> Params:
        """The averaged weights on one device of this process, so that processes can use them independently."""
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), self.state.ema)

    def _finish(self, logger: RunLogger, step: int) -> Path:
        if step != self.saved:
            self._save(step)
        last = self.checkpoints.path(step)
        if number := self._signal():
            where = f"saved at step {step}" if step else "nothing to save yet"
            command = f"jaxgen train --resume {shlex.quote(str(self.run.path))}"
            raise Interrupted(f"interrupted, {where}; go on with: {command}", number)
        logger.say(f"done: step {step}, {last}")
        return last
