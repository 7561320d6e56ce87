# Finds oneDNN 2.x or 3.x without its own package file, which on Debian demands OpenCL.
# Result: OneDNN_FOUND, OneDNN_VERSION, target OneDNN::OneDNN.
find_path(OneDNN_INCLUDE_ROOT NAMES oneapi/dnnl/dnnl.hpp)
find_library(OneDNN_LIBRARY NAMES dnnl)
set(OneDNN_VERSION "")
if(OneDNN_INCLUDE_ROOT)
  file(READ ${OneDNN_INCLUDE_ROOT}/oneapi/dnnl/dnnl_version.h text)
  if(text MATCHES "DNNL_VERSION_MAJOR ([0-9]+)")
    set(OneDNN_VERSION ${CMAKE_MATCH_1})
    string(REGEX MATCH "DNNL_VERSION_MINOR ([0-9]+)" _ "${text}")
    string(APPEND OneDNN_VERSION ".${CMAKE_MATCH_1}")
  endif()
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OneDNN REQUIRED_VARS OneDNN_LIBRARY OneDNN_INCLUDE_ROOT
                                         VERSION_VAR OneDNN_VERSION)
if(OneDNN_FOUND AND NOT TARGET OneDNN::OneDNN)
  add_library(OneDNN::OneDNN UNKNOWN IMPORTED)
  set_target_properties(OneDNN::OneDNN PROPERTIES IMPORTED_LOCATION "${OneDNN_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES
                        "${OneDNN_INCLUDE_ROOT};${OneDNN_INCLUDE_ROOT}/oneapi/dnnl")
endif()
