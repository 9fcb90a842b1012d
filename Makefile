# Two commands do all set-up: `make demo` and `make test`. GNU Make 3.81 and bash 3.2 suffice.
#
#   PYTHON=python3.12   the interpreter of a new .venv       ALL=1    thorough tests too; a skipped test fails
#   DATA=PATH           your own pictures or data set        ONCE=1   demo: print the result as JSON and stop
#   OUT=FOLDER          train: where the model goes          KAFKA=1  demo: through a Kafka broker (Java 17+, Maven)
#   VECTORS=FOLDER      bench-peers: of `vitrine bench vectors`, instead of vectors made of DATA
#   RECORD=1            dashboards: live through the story again; needs Prometheus
#   OVERLAY=NAME        deploy, manifests: of deploy/k8s/overlays, or a folder of your own
#   ARGS=…              more arguments for the program that is run

SHELL := bash
.DEFAULT_GOAL := help

OUT := run/model
PEER_VECTORS = run/bench/peers-$(if $(DATA),data,sample)
BIN := .venv/bin
SETUP := bash scripts/setup.sh
PROTOS := $(wildcard protos/vitrine/v1/*.proto)

# $(call generate,FOLDER): messages, services and their types; import paths follow from protos/vitrine/v1.
generate = PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc --proto_path=protos \
	--python_out="$(1)" --grpc_python_out="$(1)" --mypy_out=quiet:"$(1)" --mypy_grpc_out=quiet:"$(1)" $(PROTOS)

.PHONY: help demo test soak lint format proto proto-check bench bench-peers train quality dashboards images images-sizes images-gpu-check manifests deploy setup clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## Start all services with the page, index a sample catalogue and search it (ONCE=1, DATA=PATH, KAFKA=1)
	@$(SETUP) cpu web $(if $(KAFKA),kafka)
	@$(if $(KAFKA),$(BIN)/python -m tests.kafka.broker -- )$(BIN)/vitrine demo $(if $(KAFKA),--kafka {kafka}) \
		$(if $(ONCE),--once --json) $(if $(DATA),--data "$(DATA)") $(ARGS)

test: proto-check lint ## Run every check and test (ALL=1: the thorough ones and training too, and no skips)
	@$(BIN)/python -m pytest $(if $(ALL),--all) $(ARGS)

soak: setup ## Kill services at random under constant queries and events (MINUTES=30, KAFKA=1)
	@$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),30) $(if $(KAFKA),--kafka) $(ARGS)

lint: setup ## Check style, types and who imports whom
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "Not formatted: run 'make format'"; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: setup ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix --exit-zero --quiet
	@$(BIN)/ruff format

proto: setup ## Generate vitrine/v1 from protos/
	@$(call generate,.)

proto-check: setup
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && $(call generate,$$fresh) && \
	{ diff -r -x __init__.py -x __pycache__ "$$fresh/vitrine/v1" vitrine/v1 || \
	{ echo "vitrine/v1 is not what protos/ say: run 'make proto'"; exit 1; }; }

bench: ## Measure speed and recall on this machine
	@$(SETUP) cpu
	@$(BIN)/vitrine bench $(ARGS)

bench-peers: ## Measure Vitrine beside Chroma, LanceDB, Milvus Lite and three libraries (DATA=PATH or VECTORS=FOLDER)
	@$(SETUP) cpu
	@$(if $(VECTORS),,$(BIN)/vitrine bench vectors --out $(PEER_VECTORS) --rows 39507 $(if $(DATA),--data "$(DATA)") > /dev/null)
	@$(BIN)/python -m benchmarks.peers --vectors "$(or $(VECTORS),$(PEER_VECTORS))" $(ARGS)

train: ## Train on labelled pictures and export a model folder (DATA=PATH, OUT=FOLDER)
	@: $(if $(DATA),,$(error train needs DATA=PATH, a folder per class or a table of labelled pictures))
	@$(SETUP) cpu train
	@$(BIN)/vitrine train "$(DATA)" --out "$(OUT)" $(ARGS)

quality: ## Measure the bundled model beside reference systems and write docs/quality.md (DATA=PATH)
	@: $(if $(DATA),,$(error quality needs DATA=PATH, the Parquet file of fashion pictures))
	@$(SETUP) cpu train
	@$(BIN)/python -m training.quality "$(DATA)" $(ARGS)

dashboards: ## Write the Grafana dashboards and draw them from recorded data (RECORD=1: record anew, 7 minutes)
	@$(SETUP) $(if $(RECORD),cpu web )bench
	@$(BIN)/python -m deploy.monitoring $(if $(RECORD),--record)

images: ## Build the container images, by Docker or buildah (ARGS=gateway: that one; BASE, TAG: deploy/docker/build.sh)
	@bash deploy/docker/build.sh $(ARGS)

images-sizes: ## Print how big the images are that `make images` has built
	@python3 deploy/docker/sizes.py

images-gpu-check: setup ## Build the embedder for GPUs and check it without one; fetches 1.6 GB
	@bash scripts/images.sh
	@$(BIN)/python -m tests.images.gpu

manifests: setup ## Print the Kubernetes manifests of an overlay, checked (OVERLAY=kind|production|FOLDER)
	@: $(if $(OVERLAY),,$(error manifests needs OVERLAY: kind, production or a folder of your own))
	@$(BIN)/python -m deploy.k8s.checks "$(OVERLAY)"

deploy: setup ## Bring an overlay into a cluster; kind: make the cluster, too (OVERLAY=kind|production|FOLDER)
	@: $(if $(OVERLAY),,$(error deploy needs OVERLAY: kind, production or a folder of your own))
	@mkdir -p run
	@$(BIN)/python -m deploy.k8s.checks "$(OVERLAY)" > run/manifests.yaml
	@$(if $(filter $(abspath deploy/k8s/overlays/kind),$(abspath deploy/k8s/overlays/$(OVERLAY) $(OVERLAY))),bash deploy/docker/build.sh)
	@bash scripts/deploy.sh "$(OVERLAY)" run/manifests.yaml

setup:
	@$(SETUP) $(if $(ALL),--all cpu dev web train,cpu dev web)
	@$(if $(ALL),bash scripts/browser.sh)
	@$(if $(ALL),bash scripts/prometheus.sh)
	@$(if $(ALL),bash scripts/images.sh)
	@$(if $(ALL),bash scripts/kustomize.sh --install)

clean: ## Remove .venv and everything that was built, cached or indexed here
	@rm -rf .venv run build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
