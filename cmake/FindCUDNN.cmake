# Finds cuDNN 9, which ships without a CMake package file: in the CUDA toolkit, in the system, or as
# pip installs it (.../site-packages/nvidia/cudnn, where only libcudnn.so.9 exists). CUDNN_ROOT, as
# a CMake or environment variable, comes first.
# Result: CUDNN_FOUND, CUDNN_VERSION, CUDNN_LIBRARY, target CUDNN::headers. Programs do not link the
# library: they load it when they need it (kernels/cuda/libraries/functions.h).
set(_cudnn_hints ${CUDAToolkit_LIBRARY_ROOT} ${CUDAToolkit_TARGET_DIR} ${CUDAToolkit_BIN_DIR}/..)
find_path(CUDNN_INCLUDE_DIR NAMES cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${_cudnn_hints}
          PATH_SUFFIXES include)
# The library beside the header, whatever its name: another one may be of another version.
find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 NAMES_PER_DIR
             HINTS ${CUDNN_INCLUDE_DIR}/.. ${CUDAToolkit_LIBRARY_DIR} ${_cudnn_hints}
             PATH_SUFFIXES lib lib64)
set(CUDNN_VERSION "")
foreach(header cudnn_version_v9.h cudnn_version.h)
  if(CUDNN_INCLUDE_DIR AND NOT CUDNN_VERSION AND EXISTS ${CUDNN_INCLUDE_DIR}/${header})
    file(READ ${CUDNN_INCLUDE_DIR}/${header} text)
    if(text MATCHES "define CUDNN_MAJOR +([0-9]+)")
      set(CUDNN_VERSION ${CMAKE_MATCH_1})
      string(REGEX MATCH "define CUDNN_MINOR +([0-9]+)" _ "${text}")
      string(APPEND CUDNN_VERSION ".${CMAKE_MATCH_1}")
      string(REGEX MATCH "define CUDNN_PATCHLEVEL +([0-9]+)" _ "${text}")
      string(APPEND CUDNN_VERSION ".${CMAKE_MATCH_1}")
    endif()
  endif()
endforeach()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUDNN REQUIRED_VARS CUDNN_LIBRARY CUDNN_INCLUDE_DIR
                                        VERSION_VAR CUDNN_VERSION)
if(CUDNN_FOUND AND NOT TARGET CUDNN::headers)
  add_library(CUDNN::headers INTERFACE IMPORTED)
  set_target_properties(CUDNN::headers PROPERTIES
                        INTERFACE_INCLUDE_DIRECTORIES "${CUDNN_INCLUDE_DIR}")
endif()
