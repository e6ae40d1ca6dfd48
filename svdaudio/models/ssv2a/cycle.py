"""cycle_mix: many rounds of remixing, scored and fed back, at the cost of a few.

The algorithm (arXiv 2411.15447, "cycle mix"): fold the slots into the manifold once. Then, in each of its + 1
rounds: give every slot but slot 0 a CLAP embedding by the generator; from the second round on replace slot 0's
code by the fold of the best candidate so far; draw `samples` candidates from the remixer; score each by the
standard deviation, over the slots, of its cosine with the slots' CLAP embeddings (slot 0's is zero, and so is
the cosine with it); a candidate with a lower score than the best so far replaces it.

The computation here has the same distribution. Each saving is exact because:

1. The mean of v draws of N(μ, σ²) *is* N(μ, σ² / v): one draw with σ / √v.
2. The remixer's sum over tokens has no order, so shuffling the slots changes nothing, and all candidates of a
   round share one μ and σ: one pass of the remixer in a round instead of one for each candidate.
3. The generator's μ and σ for slots 1… depend on codes that never change: one pass in all, fresh noise each round.
4. Only slot 0's token differs between rounds, and only the two prediction tokens are read. With q fixed,
   q · Σ k ⊗ v = Σ (q · k) v: the sum over the other tokens is computed once, and slot 0 adds one term.
5. Slot 0's code depends on the past only through the best candidate so far, which changes only on a record. Given
   that candidate, rounds are independent. So several rounds are computed at once as if none held a record; all up to
   the first record are kept, and those after it are recomputed with the new best. Their noise may be reused: no
   decision depended on it. The CLAP encoder runs on records only.

A round's noise is drawn for that round, whatever is computed together, so the look-ahead does not change the result
beyond rounding. One worker thread draws it, in order, while the rounds before are computed.
"""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.nn import functional

from svdaudio.models.ssv2a.layers import spread


class CycleModel(Protocol):
    """The part of `SSV2A` that the search uses; see its methods of the same names."""

    config: Any
    remixer: Any

    def fold_clips(
        self, clips: Float[Tensor, "*batch clip"], *, var_samples: int = 64, generator: Generator
    ) -> Float[Tensor, "*batch manifold"]:
        """Manifold codes of CLIP embeddings."""
        ...

    def encode_claps(
        self, claps: Float[Tensor, "*batch clap"]
    ) -> tuple[Float[Tensor, "*batch manifold"], Float[Tensor, "*batch manifold"]]:
        """μ and log σ² of the manifold codes of CLAP embeddings."""
        ...

    def generate(
        self, codes: Float[Tensor, "*batch manifold"]
    ) -> tuple[Float[Tensor, "*batch clap"], Float[Tensor, "*batch clap"]]:
        """μ and log σ² of the CLAP embeddings of manifold codes."""
        ...


# Limits on memory, not on the settings: no more noise than this is held, unless a single round needs more.
N_ELEMENTS_AT_ONCE = 16
N_NOISE_AT_ONCE = 32 * 1024 * 1024
# Enough trials to keep the processor busy, few enough for their candidates to stay in its cache.
N_TRIALS_SCORED_AT_ONCE = 8
# Rounds to look ahead per completed round: the wait for the next record grows with the number of rounds.
LOOK_AHEAD = 1.0


def cycle_mix(
    model: CycleModel,
    clips: Float[Tensor, "batch slot clip"],
    *,
    its: int,
    samples: int,
    var_samples: int,
    generator: Generator,
) -> Float[Tensor, "batch clap"]:
    """The best CLAP embedding [512] of each element, L2-normalised.

    `SSV2A.cycle_mix` documents and checks the arguments.
    """
    with ThreadPoolExecutor(max_workers=1) as worker:
        groups = [
            _Cycle(model, group, samples=samples, var_samples=var_samples).run(
                its + 1, generator=generator, worker=worker
            )
            for group in clips.split(N_ELEMENTS_AT_ONCE)
            if len(group)
        ]
    return torch.cat(groups) if groups else clips.new_empty(0, model.config.clap_dim)


class _Noise:
    """The noise of the rounds that may still be needed; round n is held at n % n_held.

    All views have one row for each pair of a held round and an element: such a pair is a trial.
    """

    def __init__(
        self,
        *,
        n_rounds: int,
        n_batch: int,
        sizes: tuple[int, int, int],
        like: Tensor,
        generator: Generator,
        worker: ThreadPoolExecutor,
    ) -> None:
        n_clap = like.shape[-1]
        self.n_rounds = n_rounds
        self.n_held = min(n_rounds, max(1, N_NOISE_AT_ONCE // (n_batch * sum(sizes))))
        # One half is used while the worker draws the other half.
        self.n_seen = max(1, self.n_held // 2)
        self.n_ready = 0
        self.generator = generator
        self.worker = worker
        self.ordered: deque[Future[None]] = deque()
        self.held = torch.empty(self.n_held, n_batch, sum(sizes), dtype=like.dtype, device=like.device)
        code, slots, sample = self.held.split(sizes, dim=-1)
        self.by_round = slots.unflatten(-1, (-1, n_clap))
        self.round_lengths = like.new_empty(self.by_round.shape[:-1])
        self.code = code.flatten(0, 1)
        self.slots = self.by_round.flatten(0, 1)
        self.lengths = self.round_lengths.flatten(0, 1)
        self.sample = sample.unflatten(-1, (-1, n_clap)).flatten(0, 1)

    def order(self, n_free: int) -> None:
        """Let the worker draw as many rounds ahead as fit in memory; rounds before `n_free` are no longer needed."""
        for n_round in range(self.n_ready + len(self.ordered), min(self.n_rounds, n_free + self.n_held)):
            self.ordered.append(self.worker.submit(self._draw, n_round % self.n_held))

    # The caller's inference mode does not apply to the worker, and inference tensors can only be written in it.
    @torch.inference_mode()
    def _draw(self, at: int) -> None:
        if self.generator.device == self.held.device:
            self.held[at].normal_(generator=self.generator)
        else:
            shape, place = self.held.shape[1:], self.generator.device
            self.held[at] = torch.randn(shape, generator=self.generator, device=place, dtype=self.held.dtype)

    def ready(
        self, n_rounds: int, mu: Float[Tensor, "batch others clap"], sigma: Float[Tensor, "batch others clap"]
    ) -> None:
        """Wait for the first `n_rounds` rounds, and turn the noise drawn for the slots into CLAP embeddings."""
        for n_round in range(self.n_ready, n_rounds):
            self.ordered.popleft().result()
            slots = self.by_round[n_round % self.n_held]
            torch.addcmul(mu, sigma, slots, out=slots)
            torch.linalg.vector_norm(slots, dim=-1, out=self.round_lengths[n_round % self.n_held])
            self.n_ready = n_round + 1


class _Cycle:
    """One group of elements: the values that are the same in all rounds, and the rounds."""

    def __init__(
        self, model: CycleModel, clips: Float[Tensor, "batch slot clip"], *, samples: int, var_samples: int
    ) -> None:
        self.model = model
        self.clips = clips
        self.samples = samples
        self.var_samples = var_samples
        self.n_batch, self.n_slots = clips.shape[:2]

    def run(self, n_rounds: int, *, generator: Generator, worker: ThreadPoolExecutor) -> Float[Tensor, "batch clap"]:
        """Run all rounds. Each element advances at its own pace, from record to record."""
        clips, n_clap = self.clips, self.model.config.clap_dim
        codes = self.model.fold_clips(clips, var_samples=self.var_samples, generator=generator)
        best_score = clips.new_ones(self.n_batch)
        best_clap = clips.new_zeros(self.n_batch, n_clap)
        sizes = (codes.shape[-1], (self.n_slots - 1) * n_clap, self.samples * n_clap)
        noise = _Noise(
            n_rounds=n_rounds, n_batch=self.n_batch, sizes=sizes, like=best_clap, generator=generator, worker=worker
        )
        noise.order(0)
        self._prepare(codes)
        code, code_spread = codes[:, 0].clone(), torch.zeros_like(codes[:, 0])
        done = [0] * self.n_batch
        while min(done) < n_rounds:
            noise.order(min(done))
            # The first round is separate: slot 0's code differs after it.
            room = min(n_rounds, min(done) + noise.n_seen)
            ahead = [min(room - n, max(1, int(LOOK_AHEAD * n))) for n in done]
            noise.ready(max(noise.n_ready, *(n + more for n, more in zip(done, ahead, strict=True))), *self.slots)
            elements, offsets, rows = self._trials(done, ahead, noise.n_held)
            drawn = torch.addcmul(code[elements], code_spread[elements], noise.code[rows])
            mu, sigma = self._remix(elements, drawn)
            scores, choices = self._score(mu, sigma, noise, rows)
            table = scores.new_full((self.n_batch, max(ahead)), torch.inf)
            table[elements, offsets] = scores
            # The first round of each element with a record: all rounds before it are final.
            is_record, first = (table < best_score[:, None]).max(1)
            improved = is_record.nonzero().squeeze(1)
            at = torch.tensor([0, *accumulate(ahead)], device=clips.device)[improved] + first[improved]
            candidates = torch.addcmul(mu[at], sigma[at], noise.sample[rows[at], choices[at]])
            best_score[improved] = scores[at]
            best_clap[improved] = functional.normalize(candidates, dim=-1)
            found = is_record.tolist()
            steps = [i + 1 if record else n for record, i, n in zip(found, first.tolist(), ahead, strict=True)]
            # After the first round every code is a fold of the best; after the last it is not needed.
            fold = [b for b, n in enumerate(done) if (found[b] or not n) and n + steps[b] < n_rounds]
            if fold:
                code[fold], log_sigma = self.model.encode_claps(best_clap[fold])
                code_spread[fold] = spread(log_sigma, var_samples=self.var_samples)
            done = [n + step for n, step in zip(done, steps, strict=True)]
        return best_clap

    def _prepare(self, codes: Float[Tensor, "batch slot manifold"]) -> None:
        """Compute everything that is needed only once."""
        clips = self.clips
        # Saving 3.
        mu, log_sigma = self.model.generate(codes[:, 1:])
        self.slots = mu, spread(log_sigma, var_samples=self.var_samples)
        # Saving 4.
        styler = self.model.remixer.styler
        layer = styler.style_encoder.layer
        self.attention, self.feed_forward = layer.esa, layer.ffn
        self.queries = self.attention.queries(styler.pred_token)
        self.around = self.attention.highway(styler.pred_token)
        others = styler.in_proj(torch.cat([codes[:, 1:], clips[:, 1:]], dim=-1))
        self.attended = self._attend(styler.pred_token[None]) + self._attend(others)
        self.code_weight, clip_weight = styler.in_proj.weight.split([codes.shape[-1], clips.shape[-1]], dim=1)
        self.first_clip = functional.linear(clips[:, 0], clip_weight, styler.in_proj.bias)

    def _trials(
        self, done: list[int], ahead: list[int], n_held: int
    ) -> tuple[Int[Tensor, " trial"], Int[Tensor, " trial"], Int[Tensor, " trial"]]:
        """Each trial's element, how many rounds it is ahead of the completed ones, and its row of noise."""
        trials = [(b, i, (done[b] + i) % n_held * self.n_batch + b) for b, n in enumerate(ahead) for i in range(n)]
        elements, offsets, rows = torch.tensor(trials, device=self.clips.device).unbind(1)
        return elements, offsets, rows

    def _attend(self, tokens: Float[Tensor, "*batch token width"]) -> Float[Tensor, "*batch 2 head feature"]:
        """Attention of the prediction tokens over `tokens`: Σ (q · k) v."""
        keys, values = self.attention.keys_values(tokens)
        weights = torch.einsum("phi,...thi->...pth", self.queries, keys)
        return torch.einsum("...pth,...thj->...phj", weights, values)

    def _remix(
        self, elements: Int[Tensor, " trial"], codes: Float[Tensor, "trial manifold"]
    ) -> tuple[Float[Tensor, "trial clap"], Float[Tensor, "trial clap"]]:
        """The remixer's mean and spread for each trial, of element `elements[i]` with slot 0's code `codes[i]`."""
        keys, values = self.attention.keys_values(
            functional.linear(codes, self.code_weight) + self.first_clip[elements]
        )
        weights = (self.queries * keys[:, None]).sum(-1, keepdim=True)
        attended = torch.addcmul(self.attended[elements], weights, values[:, None])
        mu, log_sigma = self.model.remixer.styler.read(self.feed_forward(self.around + attended.flatten(-2)))
        return mu, spread(log_sigma, var_samples=self.var_samples)

    def _score(
        self,
        mu: Float[Tensor, "trial clap"],
        sigma: Float[Tensor, "trial clap"],
        noise: _Noise,
        rows: Int[Tensor, " trial"],
    ) -> tuple[Float[Tensor, " trial"], Int[Tensor, " trial"]]:
        """The lowest score among each trial's candidates, and which candidate has it."""
        scores: list[Tensor] = []
        in_cache = min(len(rows), N_TRIALS_SCORED_AT_ONCE)
        candidates_held = mu.new_empty(in_cache, *noise.sample.shape[1:])
        products_held = mu.new_empty(in_cache, self.samples, self.n_slots - 1)
        for which, mus, sigmas in zip(*(one.split(N_TRIALS_SCORED_AT_ONCE) for one in (rows, mu, sigma)), strict=True):
            candidates, products = candidates_held[: len(which)], products_held[: len(which)]
            # One trial at a time: noise is read in place, once.
            for i, row in enumerate(which.tolist()):
                torch.addcmul(mus[i], sigmas[i], noise.sample[row], out=candidates[i])
                torch.mm(candidates[i], noise.slots[row].T, out=products[i])
            products.div_(noise.lengths[which, None])
            lengths = torch.linalg.vector_norm(candidates, dim=-1)
            # n · variance = Σ cos² - (Σ cos)² / n; slot 0's cosine is zero, and only counts in n.
            squares, total = torch.linalg.vector_norm(products, dim=-1).square_(), products.sum(-1)
            scores.append((squares - total.square_() / self.n_slots).clamp_min_(0).sqrt_() / lengths)
        best = (torch.cat(scores) / math.sqrt(self.n_slots - 1)).min(-1)
        return best.values, best.indices
