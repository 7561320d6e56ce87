#include "kernels/check.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/state.h"

namespace nat::gpu {

struct Graph {
  cudaGraphExec_t executable = nullptr;
};

void begin_recording(Context& ctx) {
  check_cuda(cudaStreamBeginCapture(stream_of(ctx), cudaStreamCaptureModeThreadLocal),
             "recording a step");
}

Graph* end_recording(Context& ctx) {
  cudaGraph_t recorded = nullptr;
  check_cuda(cudaStreamEndCapture(stream_of(ctx), &recorded), "recording a step");
  auto graph = std::make_unique<Graph>();
  const cudaError_t result = cudaGraphInstantiate(&graph->executable, recorded, 0);
  cudaGraphDestroy(recorded);
  check_cuda(result, "instantiating a recorded step");
  return graph.release();
}

void abandon_recording(Context& ctx) noexcept {
  cudaGraph_t recorded = nullptr;
  if (cudaStreamEndCapture(stream_of(ctx), &recorded) == cudaSuccess) cudaGraphDestroy(recorded);
  cudaGetLastError();
}

void replay(Graph& graph, Context& ctx) {
  check_cuda(cudaGraphLaunch(graph.executable, stream_of(ctx)), "starting a recorded step");
}

void destroy_graph(Graph* graph) {
  if (graph == nullptr) return;
  cudaGraphExecDestroy(graph->executable);
  delete graph;
}

}  // namespace nat::gpu
