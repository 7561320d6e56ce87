// nat doctor: what this machine and build can do, and what is missing.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "kernels/context.h"
#include "kernels/cpu_info.h"
#include "nat_config.h"
#include "tools/commands.h"
#include "tools/demo.h"
#include "tools/session.h"

namespace nat::tools {

Command doctor_command(CLI::App& nat) {
  CLI::App* app = nat.add_subcommand("doctor", "say what this machine and build can do");
  const auto as_json = std::make_shared<bool>(false);
  app->add_flag("--json", *as_json, "print JSON");
  return {app, [=] {
            const CpuInfo cpu = cpu_info();
            const CudaDevice cuda = cuda_device();
            const Device device = cuda.usable() ? Device::cuda : Device::cpu;
            const bool demo_data = std::filesystem::exists(kDemoData);
            const nlohmann::json json = {{"version", kVersion},
                                         {"cores", std::thread::hardware_concurrency()},
                                         {"compute_threads", cpu.threads},
                                         {"onednn", cpu.onednn},
                                         {"avx512", cpu.avx512},
                                         {"bf16", cpu.bf16},
                                         {"amx", cpu.amx},
                                         {"cuda_kernels", kHasCudaKernels},
                                         {"cuda_device", cuda.usable() ? cuda.name : cuda.reason},
                                         {"auto_device", name(device)},
                                         {"auto_dtype", name(math_of(device, "auto"))},
                                         {"demo_data", demo_data}};
            if (*as_json) {
              std::printf("%s\n", json.dump(2).c_str());
            } else {
              for (const auto& [key, value] : json.items()) {
                std::printf("%-16s %s\n", key.c_str(), value.dump().c_str());
              }
              if (!kHasOneDnn)
                std::printf("slow: built without oneDNN; install libdnnl-dev and rebuild\n");
              if (!demo_data) {
                std::printf("demo data missing: apt-get install dataset-fashion-mnist\n");
              }
            }
            return 0;
          }};
}

}  // namespace nat::tools
