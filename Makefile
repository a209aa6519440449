# `make` explains itself. Environments are made when a target needs them, and only then.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Further words for a target's command: make serve ARGS="--grpc-port 9001"
ARGS ?=
# Which Python 3.11 or 3.12 the environments are made with: make demo PYTHON=/opt/python3.12/bin/python
export PYTHON ?=
# What `make repository` puts in, separated by commas (default: what the weights answer by default).
export SERVED_TASKS ?=
# A text file: what people whose faces are analysed are to be informed of; NOTICE=default is the project's own text.
NOTICE ?=
# A file of instances, threads and queues, as `make tune` writes it; SETTINGS=default is what follows from the cores.
SETTINGS ?=
# What `make engine` builds, in which precision, and for a quantised one a directory of photos of faces:
# `make engine ARGS=--help` lists the targets, the precisions and what is the default. `make serve` and
# `make repository` take both words too; without them they serve again what was served last, at first bf16 where the
# processor has it and it is accepted here, else fp32 (PRECISION=auto: so again).
TARGET ?=
PRECISION ?=
CALIBRATION ?=
# A checkpoint, or the name of a configuration for random weights: make engine CHECKPOINT=qface_base
CHECKPOINT ?=
# Which network of weights/ is served, built or trained: tiny (ten tasks, for research only) or open (all but attributes,
# Apache-2.0). Without it the one that was served last is served again, or built; at first, and to train, it is tiny.
WEIGHTS ?=
# What `make evaluate` measures with: prepared sets; the folders of photos that they were prepared from, which
# the server then gets (PHOTOS="fairface=DIR celeba=DIR"; of other sets it gets the crops); a network in torch to
# stand beside it (the checkpoint of what is served); and the tasks by whose human labels faces are put into groups.
DATA ?= data/prepared
PHOTOS ?=
BESIDE ?=
GROUPS_BY ?= gender,race,age_group

ifneq ($(filter-out tiny open,$(WEIGHTS))$(word 2,$(WEIGHTS)),)
$(error WEIGHTS=$(WEIGHTS) is none of tiny, open)
endif
NETWORK := $(if $(filter open,$(WEIGHTS)),qface-tiny-open,qface-tiny)
RUN := $(subst -,_,$(NETWORK))
WEIGHTS_OPTION := $(if $(WEIGHTS),--weights weights/$(NETWORK).onnx)

SERVE := .venv-serve/bin/python
FULL := .venv/bin/python
ENGINE_OPTIONS = $(if $(TARGET),--target $(TARGET)) $(if $(PRECISION),--precision $(PRECISION))
TYPED := client/qface_client client/examples client/reference client/unasync.py runtime build deploy training
# How many processes share the tests: one more than two cores, as tests wait for a sixth of their time. Each has one
# thread for torch: more would only get in each other's way.
WORKERS ?= 3
# Heavy ones are left out; a later `-m` in ARGS says otherwise.
PYTEST = OMP_NUM_THREADS=1 $(FULL) -m pytest --numprocesses $(WORKERS) --no-loadscope-reorder -m "not heavy"

.PHONY: help
help: ## say what there is (this text)
	@echo "make NAME [ARGS=...] [PYTHON=...] [WEIGHTS=tiny|open] [SERVED_TASKS=...] [NOTICE=FILE] [SETTINGS=FILE] [TARGET=...] [PRECISION=...] [CALIBRATION=...]"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | \
		awk -F ':.*## ' '{ printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2 }'

# ---- use it ------------------------------------------------------------------------------------

.PHONY: demo
demo: repository ## start the gateway and its Triton, ask about a portrait, draw the answers, stop
	@$(SERVE) -m deploy.demo $(ARGS)

.PHONY: serve
serve: repository ## serve on localhost:8001 (gRPC), 8000 (REST) and 8002 (metrics, health) until Ctrl-C; ARGS=--direct: without the gateway
	@exec $(SERVE) -m deploy.gateway $(ARGS)

.PHONY: web
web: $(if $(findstring --browser-only,$(ARGS)),.venv-serve/.made,repository) ## serve the page to try it with photos of your own, on http://127.0.0.1:8000/ (ARGS=--browser-only: the network runs in the browser)
	@exec $(SERVE) -m deploy.web $(ARGS)

.PHONY: web-bundle
web-bundle: .venv-serve/.made ## the network for the browser: var/web/bundle, and what the page weighs (ARGS="--package FILE": offline)
	@$(SERVE) -m deploy.web.bundle $(ARGS)

.PHONY: doctor
doctor: .venv-serve/.made ## check whether this host can run the service: a sentence for each thing (ARGS="--json", or options of the gateway)
	@$(SERVE) -m deploy.doctor $(ARGS)

.PHONY: status
status: .venv-serve/.made ## what runs behind `make serve`, and whether it is well
	@$(SERVE) -m deploy.gateway status $(ARGS)

.PHONY: swap
swap: .venv-serve/.made ## let `make serve` go on with what was built or assembled since (make engine && make swap)
	@$(SERVE) -m deploy.gateway swap $(ARGS)

.PHONY: rollback
rollback: .venv-serve/.made ## let `make serve` go back to what it served before the last swap
	@$(SERVE) -m deploy.gateway rollback $(ARGS)

# The program finds by itself what has changed, and what is damaged: it compares more than file dates. What it prints
# does not go to standard output, which is the demo's JSON. Where it only comes before another target, ARGS is that one's.
.PHONY: repository
repository: .venv-serve/.made ## assemble the model repository that Triton serves: var/repository (ARGS="--max-faces 1000")
	@$(SERVE) -m build.stages.repository --quiet $(ENGINE_OPTIONS) $(WEIGHTS_OPTION) \
		$(if $(NOTICE),--notice "$(NOTICE)") $(if $(SETTINGS),--settings "$(SETTINGS)") $(if $(filter repository,$(MAKECMDGOALS)),$(ARGS)) >&2

.PHONY: bulk
bulk: .venv-bulk/.made ## photos of a folder or a bucket, answered to Parquet, goes on where it was ended (ARGS="photos/ --tasks expression,age --output var/bulk")
	@.venv-bulk/bin/python -m deploy.bulk $(ARGS)

.PHONY: client-wheel
client-wheel: ## the client as a wheel in var/wheels
	@requirements/uv build --quiet --wheel --out-dir var/wheels ./client
	@rm -rf client/build
	@ls var/wheels/*.whl

.PHONY: docs
docs: .venv/.made ## the client's guides and the reference of its modules as HTML: var/docs/index.html
	@PYTHONPATH=client $(FULL) -W error -m reference var/docs

# ---- work on it --------------------------------------------------------------------------------

# In a directory of its own: what is served stays as it is, and is not what is tested.
.PHONY: test
test: test-repository ## all tests but the heavy ones, those against the real server too
	$(PYTEST) $(ARGS)

.PHONY: test-repository
test-repository: .venv/.made .venv/.mlflow .venv-serve/.made .venv-deploy/.made .venv-loadtest/.made .venv-bulk/.made
	@SERVED_TASKS=default $(SERVE) -m build.stages.repository --quiet --target openvino --precision fp32 --output var/test

.PHONY: test-fast
test-fast: .venv/.made ## the unit tests alone: under a minute
	$(PYTEST) tests/unit $(ARGS)

.PHONY: lint
lint: .venv/.made types ## style, format and types
	$(FULL) -m ruff check .
	$(FULL) -m ruff format --check .
	$(FULL) client/unasync.py --check

.PHONY: types
types: .venv/.made ## types alone, strictly, of everything that ships; the client's by its oldest Python too
	$(FULL) -m mypy $(TYPED)
	$(FULL) -m mypy --python-version 3.10 client/qface_client client/examples

.PHONY: format
format: .venv/.made ## put the code into the format that lint wants
	$(FULL) -m ruff check --fix .
	$(FULL) -m ruff format .

.PHONY: bench
bench: .venv/.made repository ## what an answer costs: core-ms by process beside the bare engine's, rates, latencies; torch beside it (ARGS="--json FILE")
	$(FULL) -m deploy.benchmark.throughput
	$(FULL) -m deploy.benchmark.answer_cost $(ARGS)

.PHONY: tune
tune: .venv-serve/.made repository ## find the settings that suit this machine: var/settings.toml, about 10 minutes (ARGS="--minutes N --json FILE")
	@$(SERVE) -m deploy.tune $(ARGS)

.PHONY: bench-facexformer
bench-facexformer: .venv/.made ## FaceXFormer, all tasks in one request, beside the released recipe
	$(FULL) -m deploy.benchmark.facexformer $(ARGS)

.PHONY: faults
faults: .venv/.made repository ## do every fault to what is served, under load, and count what its clients lose: a table, about 20 minutes (ARGS=--quick: 10)
	$(FULL) -m deploy.benchmark.faults $(ARGS)

.PHONY: fuzz
fuzz: .venv-fuzz/.made ## atheris on decoding, crops, the reading of requests and answers: a table, 37 minutes (ARGS="--minutes 1": of each of six targets)
	@.venv-fuzz/bin/python -m tests.fuzz $(ARGS)

.PHONY: check-heavy
check-heavy: test-repository ## the tests that `make test` leaves out: whole campaigns of faults, the largest networks, about 10 minutes
	$(PYTEST) -m heavy $(ARGS)

.PHONY: check-dali
check-dali: .venv-dali/.made ## the GPU's decoding and warping of faces, run on the CPU and held to the CPU's own: a report, a minute (ARGS="--report FILE")
	@PYTHONPATH=. .venv-dali/bin/python -W ignore -m tests.dali $(ARGS)

.PHONY: check-client
check-client: .venv/.made repository ## the client's wheel in a fresh environment of Python 3.10 to 3.13, each as far as it is here: a table, about 6 minutes (ARGS="--only 3.12 --without-tests")
	@$(FULL) -m tests.pythons $(ARGS)

.PHONY: check-bulk
check-bulk: .venv/.made .venv-bulk/.made repository ## 2,000 pictures from a folder and from an S3 server, killed twice: the same bytes as undisturbed? A report (ARGS="--photos N --report FILE"), 10 to 30 minutes
	@$(FULL) -m tests.bulk $(ARGS)

# Chart, rules, balancing and the CPU container's substance, with the tools of .venv-deploy and of the system (debootstrap,
# nginx, prometheus: apt-get install them): each check is a module of tests/deploy that also runs alone.
.PHONY: check-deploy
check-deploy: .venv/.made .venv-serve/.made .venv-deploy/.made repository ## the heavy checks of deployment, to the end, with reports in var/check-deploy (ARGS="--only NAME"): about 20 minutes, as root
	$(FULL) -m tests.deploy $(ARGS)

.PHONY: soak
soak: .venv/.made repository ## 20,000 requests of all sorts: does any process grow? A table in var/soak, about 20 minutes (ARGS="--requests N --rest")
	$(FULL) -m deploy.benchmark.soak $(ARGS)

.PHONY: hostile
hostile: .venv/.made repository ## some hundred hostile files and requests, each through every door of what is served: a table, about 3 minutes
	$(FULL) -m tests.hostile $(ARGS)

.PHONY: many-faces
many-faces: .venv/.made ## which share of the faces of crowded photos is found: a table, about 2 minutes (ARGS=--by-size: by their size)
	$(FULL) -m deploy.benchmark.many_faces $(ARGS)

.PHONY: detector-benchmark
detector-benchmark: .venv/.made ## recall, false finds and cost of finding faces: tables, about 6 minutes of a core (FACES=DIR NOFACES=DIR ARGS="--quick --output FILE --beside FILE")
	$(FULL) -m deploy.benchmark.detector --faces $(FACES) --no-faces $(NOFACES) $(ARGS)

# The generator needs no server here: with --url none is assembled.
.PHONY: loadtest
loadtest: .venv-loadtest/.made $(if $(findstring --url,$(ARGS)),,repository) ## how much a server bears: a sweep and a search with a report in var/loadtest, about 10 minutes (ARGS="--url HOST:PORT ...")
	@.venv-loadtest/bin/python -m deploy.loadtest $(ARGS)

.PHONY: perf-analyzer
perf-analyzer: .venv-loadtest/.made repository ## NVIDIA's load generator against what is served, beside ours: a table, about 9 minutes (ARGS="--seconds 3 --rounds 1": 2)
	@.venv-loadtest/bin/python -m deploy.loadtest.peers --tools perf-analyzer $(ARGS)

.PHONY: evaluate
evaluate: .venv/.made .venv-serve/.made ## measure what is served on labelled faces (DATA, PHOTOS, BESIDE): var/evaluation.md
	@$(FULL) -m deploy.evaluate_server $(ENGINE_OPTIONS) $(WEIGHTS_OPTION) --data $(DATA) \
		$(if $(PHOTOS),--photos $(PHOTOS)) $(if $(BESIDE),--beside $(BESIDE)) $(if $(GROUPS_BY),--groups $(GROUPS_BY)) $(ARGS)

.PHONY: targets
targets: .venv/.made .venv-serve/.made ## what the networks are to reach, row by row, old and new (DATA, PHOTOS, BESIDE=old.json, WEIGHTS=open): var/targets.md
	@$(FULL) -m deploy.evaluate_server --measure targets $(ENGINE_OPTIONS) $(WEIGHTS_OPTION) --data $(DATA) \
		$(if $(PHOTOS),--photos $(PHOTOS)) $(if $(BESIDE),--beside $(BESIDE)) $(if $(filter open,$(WEIGHTS)),--minima open) $(ARGS)

TABLES ?= var/paper
.PHONY: tables
tables: .venv/.made ## the papers' tables and figures that the prepared sets allow, beside what is published (DATA="DIR DIR", ARGS="--checkpoint FILE"): TABLES, var/paper
	@$(FULL) -m training.paper all --data $(DATA) --run $(TABLES) $(ARGS)

.PHONY: fairness
fairness: .venv/.made .venv-serve/.made ## what is served, by gender, age and race, on your labelled faces (DATA, PHOTOS, ARGS="--fail-above gender.top1_accuracy=0.1"): var/fairness.md
	@$(FULL) -m deploy.evaluate_server --measure fairness $(ENGINE_OPTIONS) $(WEIGHTS_OPTION) --data $(DATA) \
		$(if $(PHOTOS),--photos $(PHOTOS)) $(ARGS)

# glibc hands a step's large tensors back to the kernel and asks for them again, page by page, in the next step: on a
# CPU an eighth of its time. Here it keeps them, from all threads in one place and in large pages.
train weights: export GLIBC_TUNABLES ?= $(subst $() ,:,$(addprefix glibc.malloc.,mmap_max=0 arena_max=1 hugetlb=1 \
	trim_threshold=17179869184 top_pad=268435456))

# Each step goes on where it was stopped. model_repository/ is written for the ten-task network alone.
RUNS ?= var/weights
# Photos without a face: which crops can be analysed is learned from them and faces made worse (face_quality).
NOFACES ?=
# From a calibrated checkpoint $(1) to $(2), which also answers face_quality and has its minimum.
define learn_quality
$(FULL) -m training.data.quality_set $(1) --data $(DATA) --backgrounds $(NOFACES) --output $(DATA)
	$(FULL) -m training.train.extend $(1) --task face_quality --data $(DATA) --sets face_quality \
		--run $(RUNS)/$(NETWORK)-quality --set steps=600 --set sources.face_quality.batch=48
	$(FULL) -m training.train.calibrate $(RUNS)/$(NETWORK)-quality/model.safetensors --data $(DATA) --sets face_quality \
		--output $(RUNS)/$(NETWORK)-quality/calibrated.safetensors
	$(FULL) -m training.evaluation.quality $(RUNS)/$(NETWORK)-quality/calibrated.safetensors --data $(DATA) \
		--nofaces $(NOFACES) --output $(2)
endef
.PHONY: weights
weights: .venv/.made ## train what ships anew from prepared data (DATA, NOFACES, WEIGHTS=tiny or open): hours
	@[ -n "$(NOFACES)" ] || { echo "make weights wants photos without a face, to learn which crops show none: NOFACES=DIR" >&2; exit 2; }
	$(FULL) -m training.train.finetune $(RUN)_encoder --data $(DATA) --run $(RUNS)/$(NETWORK)-encoder $(ARGS)
	$(FULL) -m training.train.finetune $(RUN) --data $(DATA) --run $(RUNS)/$(NETWORK) $(ARGS) \
		--set init=$(RUNS)/$(NETWORK)-encoder/model.safetensors
	$(FULL) -m training.train.calibrate $(RUNS)/$(NETWORK)/model.safetensors --data $(DATA) \
		--output $(RUNS)/$(NETWORK)/calibrated.safetensors
	$(call learn_quality,$(RUNS)/$(NETWORK)/calibrated.safetensors,weights/$(NETWORK).safetensors)
	$(FULL) -m training.train.errors weights/$(NETWORK).safetensors --data $(DATA) \
		--output weights/$(NETWORK).safetensors
	$(FULL) -m build.stages.export weights/$(NETWORK).safetensors --output weights/$(NETWORK).onnx
	$(FULL) -m build.config --write

# Every step goes on, or is done, where it was stopped: remove var/train-demo to begin anew.
TRY := var/train-demo
.PHONY: train-demo
train-demo: .venv/.made .venv-serve/.made ## the whole way once, from renders to a served network, five minutes on two cores: var/train-demo
	$(FULL) -m training.render --head training/render/small_head/head.npz --count 300 --size 64 --processes 2 --output $(TRY)/data
	$(FULL) -m training.data prepare photos --source tests/assets/portraits --size 64 --output $(TRY)/data
	$(FULL) -m training.train.pretrain qface_test --data $(TRY)/data --sets ict,photos --run $(TRY)/pretrained --set batch=32 --set width=64 --set heads=4 --set bf16=false
	$(FULL) -m training.train.finetune qface_demo --data $(TRY)/data --run $(TRY)/run --set init=$(TRY)/pretrained/encoder.safetensors > $(TRY)/card.json
	$(FULL) -m training.train.calibrate $(TRY)/run/model.safetensors --data $(TRY)/data --output $(TRY)/model.safetensors
	$(FULL) -m training.evaluation.evaluate $(TRY)/model.safetensors --data $(TRY)/data --markdown $(TRY)/evaluation.md
	$(FULL) -m training.research.figures curves $(TRY)/run --output $(TRY)/curves.png
	$(FULL) -m build $(TRY)/model.safetensors --rounds 0 --output $(TRY)
	$(SERVE) -m deploy.demo --repository $(TRY)/repository --draw $(TRY)/answers > $(TRY)/answers.json
	@echo "$(TRY): model.safetensors (the network), evaluation.md, curves.png, answers/astronaut.jpg"

.PHONY: errors
errors: .venv/.made ## teach weights how far their answers may be off, from held-out faces (DATA, WEIGHTS): minutes; a table
	$(FULL) -m training.train.errors weights/$(NETWORK).safetensors --data $(DATA) --output $(RUNS)/$(NETWORK)-errors.safetensors $(ARGS)

.PHONY: train
train: .venv/.made ## fine-tune on prepared data (ARGS says which run on what; ARGS=--help)
	$(FULL) -m training.train.finetune $(ARGS)

.PHONY: mlflow
mlflow: .venv/.mlflow ## MLflow beside TensorBoard for runs of training (--set trackers=tensorboard,mlflow): into .venv

.PHONY: onnx
onnx: .venv/.made ## export a checkpoint to ONNX and hold it to torch's answers
	$(FULL) -m build.stages.export $(ARGS)

.PHONY: engine
engine: .venv/.made ## build and prove an engine (TARGET, PRECISION, CALIBRATION), and serve it from now on
	@$(FULL) -m build $(or $(CHECKPOINT),$(if $(WEIGHTS),weights/$(NETWORK).safetensors)) $(ENGINE_OPTIONS) $(if $(CALIBRATION),--calibration $(CALIBRATION)) \
		$(if $(SERVED_TASKS),--tasks $(SERVED_TASKS)) $(ARGS)

.PHONY: engines
engines: .venv/.made ## build and prove every engine that this machine can build, in one table; serve none
	@$(FULL) -m build --all $(or $(CHECKPOINT),$(if $(WEIGHTS),weights/$(NETWORK).safetensors,$(wildcard weights/*.safetensors) qface_base)) \
		$(if $(CALIBRATION),--calibration $(CALIBRATION)) $(ARGS)

.PHONY: verify
verify: .venv-serve/.made ## check that what is served is what its manifest says
	@$(SERVE) -m build.stages.verify $(ARGS)

# ---- housekeeping ------------------------------------------------------------------------------

.PHONY: lock
lock: ## pin the requirements anew (requirements/*.in to *.txt)
	for name in serve train mlflow teachers fuzz peers dali deploy loadtest bulk; do \
		requirements/uv pip compile --quiet --upgrade --no-header --no-annotate --no-emit-index-url \
			--python-version 3.11 --python-platform x86_64-manylinux_2_35 \
			--overrides requirements/overrides.txt \
			requirements/$$name.in --output-file requirements/$$name.txt; \
	done
	$(MAKE) --no-print-directory lock-container

# The versions are those of serve.txt; only the hashes are looked up, for each container's own Python.
CONTAINER_LOCK = requirements/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url \
	--generate-hashes --only-binary :all: --python-platform x86_64-manylinux_2_35
.PHONY: lock-container
lock-container: ## pin the containers' requirements to those of serve.txt, with hashes (after each change of serve.txt)
	for container in serve-container-cpu:3.11 serve-container-gpu:3.12 lower-container:3.11; do \
		name=requirements/$${container%:*}; \
		rm -f $$name.txt $$name-nodeps.txt; \
		$(CONTAINER_LOCK) --python-version $${container#*:} --overrides requirements/overrides.txt \
			$$name.in --output-file $$name.txt; \
		$(CONTAINER_LOCK) --python-version $${container#*:} --no-deps $$name-nodeps.in --output-file $$name-nodeps.txt; \
	done

.PHONY: sbom
sbom: .venv-deploy/.made ## what the containers' environments hold, as CycloneDX: var/sbom/q-face-cpu.cdx.json and -gpu
	@mkdir -p var/sbom
	@for container in cpu gpu; do \
		cat requirements/serve-container-$$container.txt requirements/serve-container-$$container-nodeps.txt | \
			.venv-deploy/bin/cyclonedx-py requirements --spec-version 1.6 --output-reproducible \
				--output-file var/sbom/q-face-$$container.cdx.json -; \
	done

.PHONY: clean
clean: ## remove what was built here, but neither environments nor trained weights
	rm -rf var/repository var/repository-* var/.repository* var/build var/test var/pytriton-* var/demo var/demo-server.log var/wheels
	rm -rf var/loadtest var/fuzz var/dali var/evaluate var/evaluate-server.log var/faults-server.log var/hostile-server.log var/faults.md var/check-deploy var/soak var/perf-analyzer var/sbom var/docs var/typescript var/web
	rm -rf $(addprefix client/examples/typescript/,node_modules generated dist)
	rm -rf .pytest_cache .mypy_cache .ruff_cache client/*.egg-info client/build
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

.PHONY: clean-venvs
clean-venvs: ## remove the environments; the next target makes those that it needs
	rm -rf .venv .venv-serve .venv-teachers .venv-fuzz .venv-peers .venv-dali .venv-deploy .venv-loadtest .venv-bulk .venv-uv

# .venv-teachers is for labelling pictures with other people's models, and has nothing of ours in it.
# .venv-fuzz has atheris, which is for CPython on Linux and macOS. .venv-peers has what people would take instead
# of Q-Face, to be measured beside it; .venv-dali has DALI: 1.5 GB; .venv-deploy has helm, envoy, hadolint and the like; .venv-loadtest what loads a server: no torch, no engine;
# .venv-bulk has Ray, for buckets of photos.
.PHONY: .venv .venv-serve .venv-teachers .venv-fuzz .venv-peers .venv-dali .venv-deploy .venv-loadtest .venv-bulk
.venv: .venv/.made
.venv-serve: .venv-serve/.made
.venv-teachers: .venv-teachers/.made
.venv-fuzz: .venv-fuzz/.made
.venv-peers: .venv-peers/.made
.venv-dali: .venv-dali/.made
.venv-deploy: .venv-deploy/.made
.venv-loadtest: .venv-loadtest/.made
.venv-bulk: .venv-bulk/.made

# ---- what stands behind the targets ------------------------------------------------------------

.venv/.made: requirements/train.txt requirements/train-nodeps.txt requirements/overrides.txt client/pyproject.toml
	@requirements/make-venv .venv requirements/train.txt -- requirements/train-nodeps.txt
	@touch $@

# Optional, in the environment of those who train.
.venv/.mlflow: requirements/mlflow.txt .venv/.made
	@requirements/make-venv .venv requirements/mlflow.txt
	@touch $@

.venv-serve/.made: requirements/serve.txt requirements/serve-nodeps.txt requirements/overrides.txt client/pyproject.toml
	@requirements/make-venv .venv-serve requirements/serve.txt -- requirements/serve-nodeps.txt
	@touch $@

.venv-teachers/.made: requirements/teachers.txt requirements/overrides.txt
	@requirements/make-venv .venv-teachers requirements/teachers.txt
	@touch $@

.venv-fuzz/.made: requirements/fuzz.txt requirements/overrides.txt client/pyproject.toml
	@requirements/make-venv .venv-fuzz requirements/fuzz.txt
	@touch $@

.venv-peers/.made: requirements/peers.txt requirements/overrides.txt
	@requirements/make-venv .venv-peers requirements/peers.txt
	@touch $@

.venv-dali/.made: requirements/dali.txt requirements/overrides.txt client/pyproject.toml
	@requirements/make-venv .venv-dali requirements/dali.txt
	@touch $@

.venv-deploy/.made: requirements/deploy.txt requirements/deploy-nodeps.txt requirements/overrides.txt requirements/unpack_helm.py
	@requirements/make-venv .venv-deploy requirements/deploy.txt -- requirements/deploy-nodeps.txt
	@.venv-deploy/bin/python requirements/unpack_helm.py
	@touch $@

.venv-bulk/.made: requirements/bulk.txt requirements/bulk-nodeps.txt requirements/overrides.txt client/pyproject.toml
	@requirements/make-venv .venv-bulk requirements/bulk.txt -- requirements/bulk-nodeps.txt
	@touch $@

.venv-loadtest/.made: requirements/loadtest.txt requirements/overrides.txt client/pyproject.toml
	@requirements/make-venv .venv-loadtest requirements/loadtest.txt
	@touch $@
