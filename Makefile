# Everything that is done with this repository; `make help` lists it. Each target installs what it needs first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
ROWS ?= 500000
CONFIGURATION ?= Release
export DOTNET_CLI_TELEMETRY_OPTOUT := 1
export DOTNET_NOLOGO := 1
EXPORTER := dotnet exec Exports/bin/$(CONFIGURATION)/net10.0/exporter.dll
EXPORT_TESTS := dotnet exec Exports.Tests/bin/$(CONFIGURATION)/net10.0/Exporter.Exports.Tests.dll
ENGINE_TESTS := dotnet exec Engine.Tests/bin/$(CONFIGURATION)/net10.0/Exporter.Engine.Tests.dll
# Of bash, SECONDS is a variable of its own: only what make was told counts.
CHAOS_SECONDS := $(if $(filter command line,$(origin SECONDS)),$(SECONDS))
RESTORE := $(if $(CI),--locked-mode)

.PHONY: help tools build demo dev test format api s3-compat bench-export bench-engine soak-engine chaos chaos-export stale-writes clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1|/' | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

tools: ## Install what is missing for demo and dev: PostgreSQL and ClickHouse
	@.ci/install-tools

build: ## Build everything; a warning is an error
	@dotnet restore $(RESTORE) -v quiet
	@dotnet build --no-restore -c $(CONFIGURATION) -v quiet -clp:NoSummary --disable-build-servers

demo: tools build ## Export ROWS rows (500000), kill the worker half-way, resume, count
	@$(EXPORTER) demo --rows $(ROWS)

dev: tools build ## The demo's servers, kept running with a worker, for trying things by hand
	@$(EXPORTER) dev

test: build ## Run every test on real servers; ends with N passed, N failed
	@.ci/install-tools --s3
	@.ci/test $(CONFIGURATION)

api: ## Write down what is public; the build fails when it is not
	@.ci/api

format: ## Bring the code into the format that the build asks for
	@dotnet format

s3-compat: build ## Try what the S3 destination asks of a server at Ceph 16, Ceph 20 and Swift; the table is in docs/destinations/s3.md
	@.ci/install-tools --s3
	@.ci/install-tools --s3-compat
	@$(EXPORT_TESTS) s3-compat $(if $(EXPORTER_TOOLS),$(EXPORTER_TOOLS),.tools)

bench-export: build ## Measure exports beside ClickHouse, JSON row by row and DuckDB: ROWS (200000), REPEAT (3), WORKS (all; WORKS=tried settings that might help, TRIED those with such words); DESTINATION=files, s3, azure-blob, webhook or postgres alone, SETTING=NAME:NUMBER,... with these too
	@.ci/install-tools --s3
	@$(EXPORT_TESTS) bench $(if $(DESTINATION),destination=$(DESTINATION)) $(if $(filter command line environment,$(origin ROWS)),rows=$(ROWS)) $(if $(REPEAT),repeat=$(REPEAT)) $(addprefix setting=,$(SETTING)) $(if $(WORKS),works=$(WORKS)) $(if $(TRIED),tried=$(TRIED))

bench-engine: tools build ## Measure the engine beside bare SQL: WORKS (all), REPEAT (5), SCALE (1); PEERS=1 other engines too
	@DOTNET_GCgen0size=0x4000000 $(ENGINE_TESTS) bench-engine $(if $(WORKS),works=$(WORKS)) $(if $(REPEAT),repeat=$(REPEAT)) $(if $(SCALE),scale=$(SCALE)) $(if $(PEERS),peers=$(PEERS))

soak-engine: tools build ## Half load for MINUTES (15) beside an analytical query that holds a snapshot
	@$(ENGINE_TESTS) soak-engine $(if $(MINUTES),minutes=$(MINUTES))

chaos: tools build ## Break workers, connections and PostgreSQL for CYCLES (60) or SECONDS, from a SEED; count what was lost or done twice
	@$(ENGINE_TESTS) chaos $(if $(CYCLES),cycles=$(CYCLES)) $(if $(CHAOS_SECONDS),seconds=$(CHAOS_SECONDS)) $(if $(SEED),seed=$(SEED))

chaos-export: build ## Break workers, ClickHouse and destinations under EXPORTS (100) exports, or in CYCLES with DESTINATION=files, s3, azure-blob, postgres, webhook, snowflake, redshift or bigquery, from a SEED; count every row where it lies; BROKEN=1 breaks the commit, which must be found
	@.ci/install-tools --s3
	@$(EXPORT_TESTS) chaos-export $(if $(EXPORTS),exports=$(EXPORTS)) $(if $(DESTINATION),destination=$(DESTINATION)) $(if $(CYCLES),cycles=$(CYCLES)) $(if $(SEED),seed=$(SEED)) $(if $(BROKEN),broken)

stale-writes: tools build ## Try every call of a worker that has lost its run; each must be refused. PEERS=1 asks other engines too
	@$(ENGINE_TESTS) stale-writes

clean: ## Remove what was built; what was fetched stays in .tools
	@rm -rf */bin */obj
