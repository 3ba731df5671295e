# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

SHELL := /bin/bash
INVENTORY ?= article
# What `make test` runs, in this order, on one lab; the rest takes longer and is for test-all
SCENARIOS := site guests multi_isp failover two_interface samples samples_swapped dual_stack adopt lockout fleet
SCENARIOS_MORE := site_trixie accidents lockout_leased
SCENARIO ?= $(SCENARIOS)
# What builds the lab's images and machines
LAB_PACKAGES := dnsmasq-base e2fsprogs iproute2 mmdebstrap netcat-openbsd nftables openssh-client procps qemu-utils \
	systemd-container util-linux

# Another collection of the same name in the user's home must not take the place of this checkout
LINK := $(CURDIR)/.ansible/collections/ansible_collections/ursa/kvmnet
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.ansible/collections
# Ansible's own leavings: control sockets, temporary files
export ANSIBLE_HOME := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ursa.kvmnet/ansible
export ANSIBLE_SSH_CONTROL_PATH_DIR := $(ANSIBLE_HOME)/cp
export MOLECULE_GLOB := molecule/*/molecule.yml
export PYTHONDONTWRITEBYTECODE := 1

step := @tools/step
as_root := $(if $(filter 0,$(shell id -u)),,sudo -E)
lockout := ansible-playbook -i molecule/lockout/inventory
playbook := ansible-playbook -i playbooks/inventories/$(INVENTORY)

.PHONY: help site down test test-all lint lint-ruff lint-types lint-yaml lint-shell lint-words lint-licences lint-ansible \
	sanity package unit molecule molecule-all faults bench bench-failover bench-guests tools lab-tools test-tools

help:
	@echo 'make site [INVENTORY=article|minimal|fleet]  build the lab of an inventory on this machine and run site.yml on it'
	@echo 'make down                                    take the lab away'
	@echo 'make test                                    every check that a change must pass; test-all: the full matrix'
	@echo 'make lint | sanity | package | unit          one kind of check'
	@echo 'make molecule [SCENARIO=site]                one scenario, or all of them'
	@echo 'make faults [FAULTS="--only power"]           every mistake and accident that a commit must survive: docs/guard.md'
	@echo 'make bench [BENCH="--rules 10,1000"]         figures beside what others do: tests/benchmark/README.md'
	@echo 'make bench-failover [BENCH="--outages 10"]   how fast a dead uplink is left, beside lsm'
	@echo 'make bench-guests [BENCH="--guests 100"]     guests made and changed, beside virsh, on the lab or another host'

site: tools lab-tools
	$(step) "Build the lab of the inventory '$(INVENTORY)'" $(playbook) playbooks/lab.yml
	$(step) "Run site.yml on it" $(playbook) -i .lab/inventory.yml playbooks/site.yml

down:
	@if [ -e .lab/state.json ]; then tools/step "Take the lab away" ansible-playbook playbooks/lab_down.yml; fi

# Every kind of check runs even when one before it failed; the lab goes in any case; the summary comes last. The unit
# tests come after the lab, whose images hold the real Shorewall that they ask.
test:
	@python3 tools/gates.py lint sanity package molecule unit

test-all:
	@python3 tools/gates.py lint sanity package molecule-all unit

lint: lint-ruff lint-types lint-yaml lint-shell lint-words lint-licences lint-ansible

lint-ruff: test-tools
	$(step) "ruff" ruff check --output-format concise
	$(step) "ruff format" ruff format --check --quiet

lint-types: test-tools
	$(step) "mypy --strict" mypy $(addprefix $(LINK)/plugins/,module_utils plugin_utils filter modules)
	$(step) "mypy --strict: the monitor" mypy roles/uplink_monitor/files/kvmnet_uplink_monitor

lint-yaml: test-tools
	$(step) "yamllint" yamllint --strict .

lint-shell: test-tools
	$(step) "shellcheck" shellcheck roles/uplink_monitor/files/foolsm/* .ci/run tests/faults/layers.sh tools/import \
		tools/libvirt tools/packages tools/sanity tools/step tools/venv

lint-words: test-tools
	$(step) "codespell" codespell

lint-licences: test-tools
	$(step) "reuse" reuse lint --lines

lint-ansible: test-tools
	$(step) "ansible-lint" env NO_COLOR=1 ansible-lint --offline

sanity: test-tools
	$(step) "ansible-test sanity" tools/sanity $(LINK)

package: test-tools
	$(step) "Build the tarball, galaxy-importer" tools/import

unit: test-tools
	$(step) "libvirt for the tests" tools/libvirt .venv
	$(step) "Unit tests" pytest -q -n 2 --junitxml=.cache/junit/unit.xml

molecule: test-tools lab-tools
	$(step) "Scenarios: $(SCENARIO)" molecule test --no-command-borders $(addprefix --scenario-name=,$(SCENARIO))

molecule-all:
	@$(MAKE) --no-print-directory molecule SCENARIO="$(SCENARIOS) $(SCENARIOS_MORE)"

# Takes long: a hundred changes, each of which goes wrong or is cut short
faults: test-tools lab-tools
	$(step) "A compiler, for a clock that jumps" tools/packages gcc libc6-dev
	$(step) "Build the lab of the inventory 'lockout'" $(lockout) playbooks/lab.yml
	$(step) "Run site.yml on it" $(lockout) -i .lab/inventory.yml playbooks/site.yml
	@status=0; python tests/faults/run.py $(FAULTS) || status=$$?; $(MAKE) --no-print-directory down; exit $$status

bench: test-tools lab-tools
	$(step) "Benchmarks (as root: namespaces of their own)" $(as_root) env PYTHONPATH=$(ANSIBLE_COLLECTIONS_PATH) \
		.venv/bin/python tests/benchmark/bench.py $(BENCH)

bench-failover: test-tools lab-tools
	$(step) "Failover (as root: namespaces of their own)" $(as_root) env PYTHONPATH=$(ANSIBLE_COLLECTIONS_PATH) \
		.venv/bin/python tests/benchmark/failover.py $(BENCH)

bench-guests: tools
	$(step) "Guests, on a host that Ansible reaches" env PATH="$(CURDIR)/.venv/bin:$$PATH" \
		.venv/bin/python tests/benchmark/guests.py $(BENCH)

tools: $(LINK)
	$(step) "Python environment" tools/venv .venv requirements.txt

lab-tools:
	$(step) "Debian packages for the lab" tools/packages $(LAB_PACKAGES)

test-tools: $(LINK)
	$(step) "Debian packages for the checks" tools/packages genisoimage git python3-libvirt shellcheck
	$(step) "Python environment for the checks" tools/venv .venv requirements.txt tests/requirements.txt

$(LINK):
	@mkdir -p $(dir $@)
	@ln -sfn ../../../.. $@
