"""The part of docs/manifest.md that no schema can generate: how manifests are written, with worked examples.

A test loads every example: one that names a `schema` as it stands, any other as a replacement of those sections of the
first one.
"""

from __future__ import annotations

GUIDE = r"""
# The manifest

A manifest is one YAML file that says everything about a run: data, tokenizer, model, optimizer, length, evaluation,
checkpoints. Nothing else configures Hydra: no environment variable, no hidden default file. Unknown keys, wrong types
and impossible shapes are errors that name the line and the nearest valid key.

- [A first manifest](#a-first-manifest) · [Overrides](#overrides) · [Variables](#variables) ·
  [Repeats](#repeats) · [Presets](#presets-by-name) · [Several data sources](#several-data-sources) ·
  [Optimizer rules](#optimizer-rules) · [Seeds](#seeds) · [Arms and comparisons](#arms-and-comparisons) ·
  [What lowering fills in](#what-lowering-fills-in) · [YAML traps](#yaml-traps) · [Identity](#identity)
- [Every section and key](#sections) · [Presets](#presets)

| command | does |
|---|---|
| `hydra check FILE` | reads, lowers and validates a manifest |
| `hydra lower FILE` | prints the explicit runs that it stands for |
| `hydra diff A B` | prints the settings in which two manifests differ |
| `hydra schema` | prints a JSON schema for editors; with `--markdown`, this page |
| `python trainer.py FILE` | trains it |

## A first manifest

```yaml
schema: 1
name: small-lm
data:
  corpus: {kind: stdlib}
  sequence: 256
tokenizer: {kind: bytes}
model:
  width: 128
  blocks:
    - {mixer: {kind: softmax, heads: 4}, mlp: {kind: swiglu}}
    - {mixer: {kind: softmax, heads: 4}, mlp: {kind: swiglu}}
optimizer: {kind: adamw, lr: 3.0e-3}
schedule: {kind: wsd, warmup_steps: 20}
training: {steps: 400, batch: 16}
```

These keys are all that is required. The fragments below replace sections of this manifest.

A `kind` chooses one of several variants, each with its own keys. Lists and mappings may be written on one line, as
here, or one item a line.

## Overrides

`--set path=value` changes one setting before anything else looks at the file. The path follows the file as it is
written, positions in lists are numbers counted from 0, and the value is YAML:

```console
$ python trainer.py manifests/default.yaml --set training.steps=50 --set optimizer.lr=1.0e-3
$ python trainer.py manifests/default.yaml --set 'data.corpus={kind: text, files: [notes/*.txt]}'
$ python trainer.py manifests/default.yaml --set model.blocks.0.repeat.count=8
```

Overrides are validated like the file and are stored with the run. A key that contains a point is quoted:
`--set 'kernels.pin."some.op"=reference'`.

## Variables

`"${name}"` takes the value of `vars.name`. A text that is exactly one reference takes the variable's type; inside a
longer text the value is inserted. There are no expressions. An unknown variable is an error, and so is an unused one.
`${` always begins a reference, so a manifest cannot hold those two characters for any other purpose.

```yaml
vars: {width: 256, note: a wider one}
notes: "${note}, width ${width}"
model:
  width: "${width}"
  blocks: [{mixer: {kind: softmax, heads: 4}, mlp: {kind: gelu, hidden: "${width}"}}]
```

YAML's own anchors, aliases, merge keys and tags are refused: with them a line no longer says what it means.

## Repeats

`repeat: {count: N, of: [...]}` in `model.blocks` stands for N copies of the listed blocks. Repeats may be nested.
`"${index}"` counts the turns of the innermost repeat from 0. A block's `id` gets the turns appended (`local.0`,
`local.1`, ...) unless it holds the index itself; blocks without an id are called by their position, `block.5`.

```yaml
model:
  width: 128
  blocks:
    - repeat:
        count: 2
        of:
          - repeat:
              count: 3
              of: [{id: local, mixer: {kind: softmax, heads: 4, window: 64}, mlp: {kind: swiglu}}]
          - {id: global, mixer: {kind: softmax, heads: 4}, mlp: {kind: swiglu}}
```

## Presets by name

`preset` stands for a whole model ([the table](#presets)); keys beside it change it. Mappings are merged; lists, and
mappings of another `kind`, replace what was there.

```yaml
model:
  preset: 10m
  head: {softcap: 15.0}
```

## Several data sources

`data.corpus` is short for a single source. Several ones have names and weights:

```yaml
data:
  sequence: 256
  sources:
    - {name: code, weight: 0.7, corpus: {kind: stdlib}}
    - {name: noise, weight: 0.3, corpus: {kind: synthetic, tokens: 100000}}
```

Files of corpora are not looked for when a manifest is read, only when the data is prepared.

## Optimizer rules

A single rule may stand without its list. With several, the first whose `match` (and `ndim`) fits takes a parameter.

```yaml
optimizer:
  - {kind: adamw, match: ["embedding*", "head*"], lr: 1.0e-3}
  - {kind: adamw, lr: 3.0e-3, weight_decay: 0.05}
```

## Seeds

Several seeds make several runs, named `small-lm-s11` and so on. One seed may stand without the list.

```yaml
seeds: [11, 12, 13]
```

## Arms and comparisons

`runs.arms` makes one run per arm (and seed): the manifest with the arm's changes laid over it, merged like the keys
beside a preset. With `comparison.apples_to_apples: true` Hydra refuses to start unless the comparison is fair:

- arms differ only at the model's paths under `varies` (and in optimizer settings that `tuned` searches equally);
- at least three seeds, the same for every arm, and a held-out split;
- parameters and FLOPs per token within `tolerance`;
- nothing automatic and nothing reactive: no `auto`, and the first step that is not finite ends the run.

All violations are reported at once. Afterwards `hydra compare` gives a verdict only if every arm finished with every
seed, on the same data in the same order, on like hardware, from one commit.

```yaml
seeds: [11, 12, 13]
runs:
  arms:
    swiglu: {}
    geglu:
      model: {blocks: [{repeat: {count: 2, of: [{mixer: {kind: softmax, heads: 4}, mlp: {kind: geglu}}]}}]}
comparison: {apples_to_apples: true, arms: [swiglu, geglu], varies: [model.blocks]}
training:
  steps: 400
  batch: 16
  device: cpu
  determinism: exact
  compile: none
  threads: 2
  nonfinite_in_a_row: 1
  nonfinite_in_1000: 1
precision: {compute: fp32}
parallel: {data: 1}
```

## What lowering fills in

A file is read, overridden and *lowered* to explicit runs: arms, variables, shorthands, seeds, presets, repeats,
inferred sizes. Lowering an explicit run changes nothing. The result, the resolved manifest, is stored with the run
together with the origin of each value: a line of the file, a `--set`, a preset, an inference or the default. Fields
marked *inferred* below may be left out; what is written always wins.

## YAML traps

Hydra reads YAML 1.1, in which some spellings mean what nobody expects. They are errors, never silent conversions.

| written | YAML 1.1 reads | write |
|---|---|---|
| `1e-4`, `1.5e3` | text | `1.0e-4`, `1.5e+3` |
| `yes`, `no`, `on`, `off` | a boolean | `"on"` for text, `true` for a boolean |
| `010` | eight (octal) | `10` |
| `1:30` | ninety (base 60) | `"1:30"` |
| `2026-01-31` | a date | `"2026-01-31"` |
| `.inf`, `.nan` | a number | a finite number, or `null` where a key allows it |
| the same key twice | the last one wins | each key once |

`null` is a value that some keys take (their type says so), never a way to ask for the default.

## Identity

The *manifest hash* is SHA-256 over the canonical JSON of the resolved manifest (sorted keys, shortest numbers). The
*experiment hash* leaves out `name`, `notes`, `tracking` and `runs`, which do not change what is computed; a resume
demands that it is equal.
"""
