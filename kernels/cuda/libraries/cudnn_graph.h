// The graph interface of cuDNN ("backend C API"), as far as single operations need it: owned
// descriptors with typed attributes, engine configurations, and execution plans.
//
//   operation graph -> heuristics -> engine configurations -> execution plan -> execute
//
// Every step works for a Target, which is the device of a handle or a device that is only
// described: plans can be looked up and finalised for a GPU that is not there (cuDNN >= 9.8), but
// not executed. Source: cuDNN backend API reference. Errors are Error(device) with cuDNN's own
// explanation.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/libraries/functions.h"

namespace nat::gpu::cudnn {

void check(cudnnStatus_t status, const char* what);

template <class T>
constexpr cudnnBackendAttributeType_t attribute_type();
template <>
constexpr cudnnBackendAttributeType_t attribute_type<std::int64_t>() {
  return CUDNN_TYPE_INT64;
}
template <>
constexpr cudnnBackendAttributeType_t attribute_type<float>() {
  return CUDNN_TYPE_FLOAT;
}
template <>
constexpr cudnnBackendAttributeType_t attribute_type<char>() {
  return CUDNN_TYPE_CHAR;
}
template <>
constexpr cudnnBackendAttributeType_t attribute_type<void*>() {
  return CUDNN_TYPE_VOID_PTR;
}
template <>
constexpr cudnnBackendAttributeType_t attribute_type<cudnnHandle_t>() {
  return CUDNN_TYPE_HANDLE;
}
template <>
constexpr cudnnBackendAttributeType_t attribute_type<cudnnDataType_t>() {
  return CUDNN_TYPE_DATA_TYPE;
}
template <>
constexpr cudnnBackendAttributeType_t attribute_type<cudnnConvolutionMode_t>() {
  return CUDNN_TYPE_CONVOLUTION_MODE;
}
template <>
constexpr cudnnBackendAttributeType_t attribute_type<cudnnBackendHeurMode_t>() {
  return CUDNN_TYPE_HEUR_MODE;
}
template <>
constexpr cudnnBackendAttributeType_t attribute_type<cudnnBackendKnobType_t>() {
  return CUDNN_TYPE_KNOB_TYPE;
}
template <>
constexpr cudnnBackendAttributeType_t attribute_type<cudnnBackendNumericalNote_t>() {
  return CUDNN_TYPE_NUMERICAL_NOTE;
}

// Owns one backend descriptor: set its attributes, then finalize.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);

  template <class T>
  void set(cudnnBackendAttributeName_t name, const std::vector<T>& values) {
    set_raw(name, attribute_type<T>(), static_cast<std::int64_t>(values.size()), values.data());
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, T value) {
    set_raw(name, attribute_type<T>(), 1, &value);
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& value);
  void set(cudnnBackendAttributeName_t name, const std::vector<Descriptor>& values);

  void finalize(const char* what);  // throws
  bool try_finalize();              // false when cuDNN does not support what was asked

  template <class T>
  std::vector<T> get(cudnnBackendAttributeName_t name, std::int64_t at_most) const {
    std::vector<T> values(static_cast<std::size_t>(at_most));
    values.resize(
        static_cast<std::size_t>(get_raw(name, attribute_type<T>(), at_most, values.data())));
    return values;
  }
  template <class T>
  T get(cudnnBackendAttributeName_t name) const {
    T value{};
    get_raw(name, attribute_type<T>(), 1, &value);
    return value;
  }
  // Descriptors of `type` that this one refers to; cuDNN fills descriptors that the caller creates.
  std::vector<Descriptor> get(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                              std::int64_t at_most) const;

  cudnnBackendDescriptor_t raw() const { return raw_.get(); }

 private:
  void set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
               std::int64_t count, const void* values);
  std::int64_t get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       std::int64_t at_most, void* values) const;

  struct Destroy {
    void operator()(void* raw) const { functions().destroy_descriptor(raw); }
  };
  std::unique_ptr<void, Destroy> raw_;
};

// Where plans are to run.
class Target {
 public:
  explicit Target(cudnnHandle_t handle) : handle_(handle) {}
  // A device by its properties, as JSON (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION).
  explicit Target(const std::string& device_json);

  void attach_to_graph(Descriptor& graph) const;  // graphs know a handle or nothing
  // Names the described device under `name`; a handle's device needs no naming.
  void attach(Descriptor& descriptor, cudnnBackendAttributeName_t name) const;
  void attach_to_plan(Descriptor& plan) const;

 private:
  cudnnHandle_t handle_ = nullptr;
  std::optional<Descriptor> properties_;
};

// One way to compute a graph: an engine of cuDNN and the settings of its knobs.
struct Recipe {
  std::int64_t engine = 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> knobs;  // knob type, value
  friend bool operator==(const Recipe&, const Recipe&) = default;
};

// An engine configuration together with what its engine says about itself.
struct Candidate {
  Descriptor config;
  std::vector<cudnnBackendNumericalNote_t> numerics;

  bool has(cudnnBackendNumericalNote_t note) const;
  Recipe recipe() const;
};

struct Plan {
  Descriptor execution;
  std::int64_t workspace_bytes = 0;
  Recipe recipe;
};

// A graph of the given operation, finalised.
Descriptor single_operation_graph(const Target& target, const Descriptor& operation);

// What the heuristics of one mode propose, best first; empty when they know nothing.
std::vector<Candidate> propose(const Target& target, const Descriptor& graph,
                               cudnnBackendHeurMode_t mode);
// Rebuilds a candidate from its recipe; nullopt when this cuDNN does not accept it.
std::optional<Candidate> rebuild(const Target& target, const Descriptor& graph,
                                 const Recipe& recipe);
// nullopt when the engine turns out not to support the graph on the target.
std::optional<Plan> make_plan(const Target& target, const Candidate& candidate);

// Runs a plan: tensor i of the graph is `pointers[i]` and has the unique id i + 1. try_execute
// returns whether it started.
void execute(cudnnHandle_t handle, const Plan& plan, const std::vector<void*>& pointers,
             void* workspace);
bool try_execute(cudnnHandle_t handle, const Plan& plan, const std::vector<void*>& pointers,
                 void* workspace);

}  // namespace nat::gpu::cudnn
