// Streams, events, captures and graphs. Nothing is asynchronous: a stream is only the place where
// work is refused or recorded.
#include <chrono>
#include <set>
#include <vector>

#include "tests/simt/arena.h"
#include "tests/simt/options.h"
#include "tests/simt/runtime.h"

struct CUgraph_st {
  std::vector<simt::Work> nodes;
};
struct CUgraphExec_st {
  std::vector<simt::Work> nodes;
};

namespace simt {
namespace {

// One capture: the stream where it began and those that joined it by waiting for its events.
struct Capture {
  CUgraph_st* graph;
  CUstream_st* origin;
  bool allows_unsafe_calls;  // cudaStreamCaptureModeRelaxed
  bool spoilt = false;
};

std::set<Capture*>& captures() {
  static std::set<Capture*> running;
  return running;
}

}  // namespace
}  // namespace simt

struct CUstream_st {
  simt::Capture* capture = nullptr;
  std::size_t nodes = 0;   // of the capture, when this stream added its last one
  std::size_t joined = 0;  // nodes that the origin is known to wait for
};

struct CUevent_st {
  simt::Capture* capture = nullptr;  // in which it was recorded
  CUstream_st* stream = nullptr;
  bool recorded = false, timed = true;
  std::chrono::steady_clock::time_point time;
};

namespace simt {
namespace {

std::set<CUstream_st*>& streams() {
  static std::set<CUstream_st*> all;
  return all;
}

cudaError_t run(const Work& work) {
  arena().open();
  const cudaError_t result = work();
  const std::string overruns = arena().overruns();
  arena().close();
  if (overruns.empty()) return result;
  report(overruns);
  return cudaErrorIllegalAddress;
}

cudaError_t spoil(Capture& capture, cudaError_t error) {
  capture.spoilt = true;
  return remember(error);
}

}  // namespace

cudaError_t submit(cudaStream_t stream, Work work) {
  if (stream == nullptr) {  // the default stream waits for all others, captured ones included
    const cudaError_t refused = forbid_in_capture(cudaErrorStreamCaptureImplicit);
    return refused != cudaSuccess ? refused : remember(run(work));
  }
  if (stream->capture == nullptr) return remember(run(work));
  if (stream->capture->spoilt) return remember(cudaErrorStreamCaptureInvalidated);
  stream->capture->graph->nodes.push_back(std::move(work));
  stream->nodes = stream->capture->graph->nodes.size();
  return cudaSuccess;
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  return submit(stream, [work = std::move(work)] {
    work();
    return cudaSuccess;
  });
}

cudaError_t forbid_in_capture(cudaError_t error) {
  cudaError_t result = cudaSuccess;
  for (Capture* capture : captures()) {
    if (!capture->allows_unsafe_calls) result = spoil(*capture, error);
  }
  return result;
}

}  // namespace simt

using simt::remember;

extern "C" {

// ---- streams ------------------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  simt::streams().insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, 0); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (simt::streams().erase(stream) == 0) return remember(cudaErrorInvalidResourceHandle);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream == nullptr) return simt::forbid_in_capture(cudaErrorStreamCaptureImplicit);
  if (stream->capture == nullptr) return cudaSuccess;
  return simt::spoil(*stream->capture, cudaErrorStreamCaptureUnsupported);
}
cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaStreamSynchronize(stream); }
cudaError_t cudaDeviceSynchronize() { return simt::forbid_in_capture(); }

// An event of a capture takes the waiting stream into it; when the origin waits for it, the stream
// of the event has been joined.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (event->capture == nullptr) return cudaSuccess;
  if (simt::captures().count(event->capture) == 0) return cudaSuccess;
  if (stream->capture == nullptr) {
    stream->capture = event->capture;
    stream->nodes = stream->joined = event->capture->graph->nodes.size();
  } else if (stream->capture != event->capture) {
    return simt::spoil(*stream->capture, cudaErrorStreamCaptureMerge);
  }
  if (event->stream != nullptr && stream == stream->capture->origin) {
    event->stream->joined = event->stream->nodes;
  }
  return cudaSuccess;
}

// ---- events -------------------------------------------------------------------------------------

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st;
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->recorded = true;
  event->stream = stream;
  event->capture = stream == nullptr ? nullptr : stream->capture;
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->capture == nullptr || simt::captures().count(event->capture) == 0) return cudaSuccess;
  return simt::spoil(*event->capture, cudaErrorCapturedEvent);
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (!begin->recorded || !end->recorded || !begin->timed || !end->timed) {
    return remember(cudaErrorInvalidResourceHandle);
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return cudaSuccess;
}

// ---- captures and graphs ------------------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (stream == nullptr) return remember(cudaErrorStreamCaptureUnsupported);
  if (stream->capture != nullptr) return remember(cudaErrorIllegalState);
  stream->capture = new simt::Capture{new CUgraph_st, stream, mode == cudaStreamCaptureModeRelaxed};
  simt::captures().insert(stream->capture);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  simt::Capture* capture = stream == nullptr ? nullptr : stream->capture;
  if (capture == nullptr) return remember(cudaErrorIllegalState);
  if (capture->origin != stream) return simt::spoil(*capture, cudaErrorStreamCaptureUnmatched);
  bool joined = true;
  for (CUstream_st* other : simt::streams()) {
    if (other->capture != capture) continue;
    other->capture = nullptr;
    joined = joined && (other == stream || other->joined == other->nodes);
  }
  const bool spoilt = capture->spoilt;
  if (joined && !spoilt) {
    *graph = capture->graph;
  } else {
    delete capture->graph;
  }
  simt::captures().erase(capture);
  delete capture;
  if (spoilt) return remember(cudaErrorStreamCaptureInvalidated);
  return joined ? cudaSuccess : remember(cudaErrorStreamCaptureUnjoined);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const simt::Capture* capture = stream == nullptr ? nullptr : stream->capture;
  *status = capture == nullptr ? cudaStreamCaptureStatusNone
            : capture->spoilt  ? cudaStreamCaptureStatusInvalidated
                               : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = new CUgraphExec_st{graph->nodes};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return simt::submit(stream, [executable] {
    for (const simt::Work& node : executable->nodes) {
      if (const cudaError_t result = node(); result != cudaSuccess) return result;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, size_t* count) {
  *count = graph->nodes.size();
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

}  // extern "C"
