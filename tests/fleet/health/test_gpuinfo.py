"""The inventory: the tool's XML of new and old drivers, links, the rest of the host; without GPUs too."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fleet.errors import RemoteFailed
from fleet.health import GpuInventory, gpu_inventory
from fleet.ssh import Deadline
from tests.farm.fakes import failing_nvidia_smi, tool
from tests.fleet.health.conftest import DEPLOY_DIR

UUID = "GPU-00000000-1111-2222-3333-44444444444{}"
NEW = """<gpu id="00000000:3B:00.0">
  <product_name>NVIDIA H200</product_name><product_architecture>Hopper</product_architecture>
  <uuid>{uuid}</uuid><vbios_version>96.00.A5.00.1A</vbios_version><persistence_mode>Enabled</persistence_mode>
  <mig_mode><current_mig>Disabled</current_mig></mig_mode><gpu_recovery_action>None</gpu_recovery_action>
  <pci><pci_gpu_link_info>
    <pcie_gen><max_link_gen>5</max_link_gen><current_link_gen>4</current_link_gen></pcie_gen>
    <link_widths><max_link_width>16x</max_link_width><current_link_width>8x</current_link_width></link_widths>
  </pci_gpu_link_info></pci>
  <fb_memory_usage><total>143771 MiB</total></fb_memory_usage><compute_mode>Default</compute_mode>
  <ecc_mode><current_ecc>Enabled</current_ecc></ecc_mode>
  <ecc_errors><volatile><sram_correctable>7</sram_correctable>
    <sram_uncorrectable_parity>1</sram_uncorrectable_parity><sram_uncorrectable_secded>0</sram_uncorrectable_secded>
    <dram_correctable>0</dram_correctable><dram_uncorrectable>2</dram_uncorrectable></volatile>
    <aggregate><dram_uncorrectable>5</dram_uncorrectable></aggregate></ecc_errors>
  <remapped_rows><remapped_row_corr>1</remapped_row_corr><remapped_row_unc>2</remapped_row_unc>
    <remapped_row_pending>No</remapped_row_pending></remapped_rows>
  <gpu_power_readings><average_power_draw>125.27 W</average_power_draw><instant_power_draw>N/A</instant_power_draw>
    <current_power_limit>500.00 W</current_power_limit><default_power_limit>700.00 W</default_power_limit>
    <min_power_limit>200.00 W</min_power_limit><max_power_limit>700.00 W</max_power_limit></gpu_power_readings>
  <clocks><sm_clock>345 MHz</sm_clock><mem_clock>3201 MHz</mem_clock></clocks>
  <max_clocks><sm_clock>1980 MHz</sm_clock><mem_clock>3201 MHz</mem_clock></max_clocks>
</gpu>"""
OLD = """<gpu id="00000000:5E:00.0"><product_name>Tesla V100</product_name><uuid>{uuid}</uuid>
  <ecc_errors><volatile><double_bit><total>3</total></double_bit></volatile></ecc_errors>
  <power_readings><power_draw>41.00 W</power_draw><power_limit>300.00 W</power_limit></power_readings></gpu>"""
LINKS = """GPU 0: NVIDIA H200 (UUID: {uuid})
\t Link 0: 26.562 GB/s
\t Link 1: <inactive>
\t Link 2: 26.562 GB/s"""


def document(*cards: str) -> str:
    listed = "".join(card.format(uuid=UUID.format(number)) for number, card in enumerate(cards))
    head = '<?xml version="1.0" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v13.dtd">\n<nvidia_smi_log>'
    return f"{head}<driver_version>580.1</driver_version><cuda_version>13.0</cuda_version>{listed}</nvidia_smi_log>"


def fake(folder: Path, xml: str, links: str = "") -> None:
    texts = {"-q": xml, "nvlink": links, "topo": "\tGPU0\nGPU0\t X"}
    cases = "".join(f"{word}) cat <<'END'\n{text}\nEND\n;;\n" for word, text in texts.items())
    tool(folder, "nvidia-smi", f"case $1 in\n{cases}*) exit 1;; esac\n")


def ask(host, **options: object) -> GpuInventory:
    return gpu_inventory(host.transport, DEPLOY_DIR, deadline=Deadline.after(30), **options)


def test_a_host_without_gpus(host) -> None:
    inventory = ask(host)
    assert (inventory.gpus, inventory.problem, inventory.driver) == ((), "", None)
    assert inventory.kernel == f"Linux {os.uname().release} {os.uname().machine}"
    assert inventory.processor.threads == os.cpu_count()
    assert inventory.memory is not None and inventory.disk is not None
    shown = dict(inventory.rows())
    assert shown["GPU"] == "none" and "GiB" in shown["memory"]
    json.dumps(inventory.to_json(), allow_nan=False)


def test_cards_of_new_and_old_drivers(host) -> None:
    fake(host.tools, document(NEW, OLD), LINKS.format(uuid=UUID.format(0)))
    inventory = ask(host)
    assert (inventory.problem, inventory.driver, inventory.cuda) == ("", "580.1", "13.0")
    new, old = inventory.gpus
    assert (new.index, new.uuid, new.name, new.architecture) == (0, UUID.format(0), "NVIDIA H200", "Hopper")
    assert (new.memory_bytes, new.ecc_mode, new.mig_mode) == (143771 << 20, "Enabled", "Disabled")
    assert (new.ecc_uncorrected, new.ecc_uncorrected_ever, new.remapped_rows) == (3, 5, 3)
    assert (new.power_w, new.power_limit_w, new.power_default_w, new.power_max_w) == (125.27, 500.0, 700.0, 700.0)
    assert (new.sm_clock_mhz, new.sm_clock_max_mhz, new.memory_clock_mhz) == (345.0, 1980.0, 3201.0)
    assert (new.pcie_generation, new.pcie_generation_max, new.pcie_width, new.pcie_width_max) == (4, 5, "8x", "16x")
    assert (new.recovery_action, new.compute_mode) == ("None", "Default")
    assert new.nvlink is not None
    assert (new.nvlink.count, new.nvlink.active, new.nvlink.gb_s) == (3, 2, 53.124)
    assert (old.index, old.name, old.ecc_uncorrected, old.power_w, old.power_limit_w) == (
        1,
        "Tesla V100",
        3,
        41.0,
        300.0,
    )
    assert (old.ecc_mode, old.nvlink, old.sm_clock_mhz, old.recovery_action) == (None, None, None, None)
    assert "500 W of 700 W, 1980 MHz, PCIe 4 x8, NVLink 2/3, 53 GB/s" in dict(inventory.rows())["GPU 0"]
    json.dumps(inventory.to_json(), allow_nan=False)


def test_raw_texts_are_kept_when_all_is_asked_for(host) -> None:
    xml = document(NEW)
    fake(host.tools, xml, LINKS.format(uuid=UUID.format(0)))
    raw = ask(host, full=True).raw
    assert raw["nvidia-smi.xml"] == xml + "\n"
    assert {"nvlink.txt", "topology.txt"} <= set(raw)
    assert ask(host).raw == {}
    assert not list(host.home.iterdir()), "nothing is written on the host"


@pytest.mark.parametrize("xml", ["", "<nvidia_smi_log>", "no devices were found", "&bomb;", "<a>" * 5000])
def test_what_is_no_xml_is_a_problem_and_hides_nothing_else(host, xml: str) -> None:
    fake(host.tools, xml)
    inventory = ask(host)
    assert inventory.problem.startswith("the answer of nvidia-smi -q -x is not XML")
    assert inventory.gpus == () and inventory.kernel


def test_a_tool_that_fails_or_hangs_is_a_problem(host) -> None:
    failing_nvidia_smi(host.tools, 15)
    assert "status 15" in ask(host).problem and "GPU is lost" in ask(host).problem
    tool(host.tools, "nvidia-smi", "exec sleep 60\n")
    assert "did not answer in time" in ask(host, smi_seconds=1).problem


def test_an_answer_that_breaks_off_is_an_error(host) -> None:
    tool(host.tools, "sh", "echo oops >&2\nexit 3\n")
    with pytest.raises(RemoteFailed, match="exit status 3, stdout empty, stderr 'oops'"):
        ask(host)
