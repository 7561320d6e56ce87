#include "kernels/cuda/libraries/cudnn_graph.h"

#include <algorithm>
#include <array>

#include "kernels/check.h"

namespace nat::gpu::cudnn {

namespace {

constexpr std::int64_t kMostKnobs = CUDNN_KNOB_TYPE_COUNTS;
// More than any heuristic has been seen to propose (about 40).
constexpr std::int64_t kMostCandidates = 128;

std::string last_error() {
  std::array<char, 512> text{};
  functions().get_last_error_string(text.data(), text.size());
  std::string line(text.data());
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

Descriptor engine_of(const Descriptor& config) {
  std::vector<Descriptor> engine =
      config.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  NAT_CHECK(engine.size() == 1, ErrorKind::device, "cuDNN: an engine configuration has no engine");
  return std::move(engine.front());
}

Candidate candidate_of(Descriptor config) {
  const Descriptor engine = engine_of(config);
  auto numerics = engine.get<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                          CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  return {std::move(config), std::move(numerics)};
}

}  // namespace

void check(cudnnStatus_t status, const char* what) {
  NAT_CHECK(status == CUDNN_STATUS_SUCCESS, ErrorKind::device, "cuDNN: ", what,
            " failed: ", functions().get_error_string(status), " (", last_error(), ")");
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t raw = nullptr;
  check(functions().create_descriptor(type, &raw), "creating a descriptor");
  raw_.reset(raw);
}

void Descriptor::set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                         std::int64_t count, const void* values) {
  check(functions().set_attribute(raw(), name, type, count, values), "setting an attribute");
}

void Descriptor::set(cudnnBackendAttributeName_t name, const Descriptor& value) {
  cudnnBackendDescriptor_t raw = value.raw();
  set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &raw);
}

void Descriptor::set(cudnnBackendAttributeName_t name, const std::vector<Descriptor>& values) {
  std::vector<cudnnBackendDescriptor_t> raws;
  raws.reserve(values.size());
  for (const Descriptor& value : values) raws.push_back(value.raw());
  set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(raws.size()), raws.data());
}

void Descriptor::finalize(const char* what) { check(functions().finalize(raw()), what); }

bool Descriptor::try_finalize() { return functions().finalize(raw()) == CUDNN_STATUS_SUCCESS; }

std::int64_t Descriptor::get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                 std::int64_t at_most, void* values) const {
  std::int64_t count = 0;
  check(functions().get_attribute(raw(), name, type, at_most, &count, values),
        "reading an attribute");
  return std::min(count, at_most);
}

std::vector<Descriptor> Descriptor::get(cudnnBackendAttributeName_t name,
                                        cudnnBackendDescriptorType_t type,
                                        std::int64_t at_most) const {
  std::vector<Descriptor> found;
  std::vector<cudnnBackendDescriptor_t> raws;
  for (std::int64_t i = 0; i < at_most; ++i) raws.push_back(found.emplace_back(type).raw());
  const std::int64_t count = get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, at_most, raws.data());
  found.erase(found.begin() + count, found.end());
  return found;
}

Target::Target(const std::string& device_json) : properties_(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR) {
  properties_->set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                   std::vector<char>(device_json.begin(), device_json.end()));
  properties_->finalize("reading the description of a device");
}

void Target::attach_to_graph(Descriptor& graph) const {
  if (handle_ != nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle_);
}

void Target::attach(Descriptor& descriptor, cudnnBackendAttributeName_t name) const {
  if (properties_) descriptor.set(name, *properties_);
}

void Target::attach_to_plan(Descriptor& plan) const {
  if (handle_ != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle_);
  attach(plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
}

bool Candidate::has(cudnnBackendNumericalNote_t note) const {
  return std::find(numerics.begin(), numerics.end(), note) != numerics.end();
}

Recipe Candidate::recipe() const {
  Recipe recipe;
  recipe.engine = engine_of(config).get<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  for (const Descriptor& choice : config.get(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                             CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, kMostKnobs)) {
    recipe.knobs.emplace_back(choice.get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE),
                              choice.get<std::int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
  }
  return recipe;
}

Descriptor single_operation_graph(const Target& target, const Descriptor& operation) {
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
  target.attach_to_graph(graph);
  graph.finalize("building an operation graph");
  return graph;
}

std::vector<Candidate> propose(const Target& target, const Descriptor& graph,
                               cudnnBackendHeurMode_t mode) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  target.attach(heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
  if (!heuristics.try_finalize()) return {};
  std::vector<Candidate> candidates;
  for (Descriptor& config : heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                           CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, kMostCandidates)) {
    candidates.push_back(candidate_of(std::move(config)));
  }
  return candidates;
}

std::optional<Candidate> rebuild(const Target& target, const Descriptor& graph,
                                 const Recipe& recipe) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph);
  engine.set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, recipe.engine);
  target.attach(engine, CUDNN_ATTR_ENGINE_DEVICEPROP);
  if (!engine.try_finalize()) return std::nullopt;
  std::vector<Descriptor> choices;
  for (const auto& [type, value] : recipe.knobs) {
    Descriptor& choice = choices.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    choice.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, static_cast<cudnnBackendKnobType_t>(type));
    choice.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value);
    if (!choice.try_finalize()) return std::nullopt;
  }
  Descriptor config(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  config.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  if (!choices.empty()) config.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, choices);
  if (!config.try_finalize()) return std::nullopt;
  return candidate_of(std::move(config));
}

std::optional<Plan> make_plan(const Target& target, const Candidate& candidate) {
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  target.attach_to_plan(plan);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, candidate.config);
  if (!plan.try_finalize()) return std::nullopt;
  const auto workspace = plan.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  return Plan{std::move(plan), workspace, candidate.recipe()};
}

namespace {
cudnnStatus_t start(cudnnHandle_t handle, const Plan& plan, const std::vector<void*>& pointers,
                    void* workspace) {
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < pointers.size(); ++i) ids.push_back(static_cast<std::int64_t>(i) + 1);
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids);
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers);
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace);
  pack.finalize("binding tensors to a plan");
  return functions().execute(handle, plan.execution.raw(), pack.raw());
}
}  // namespace

void execute(cudnnHandle_t handle, const Plan& plan, const std::vector<void*>& pointers,
             void* workspace) {
  check(start(handle, plan, pointers, workspace), "running a plan");
}

bool try_execute(cudnnHandle_t handle, const Plan& plan, const std::vector<void*>& pointers,
                 void* workspace) {
  return start(handle, plan, pointers, workspace) == CUDNN_STATUS_SUCCESS;
}

}  // namespace nat::gpu::cudnn
