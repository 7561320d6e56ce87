# The tests of tests/simt once more, for a real GPU, and the commands of nat: programs gpu_<test>,
# label gpu, skipped where there is no device.
add_library(nat_test_support_gpu STATIC ${reference_sources})
target_compile_definitions(nat_test_support_gpu PUBLIC NAT_TEST_DEVICE=cuda)
target_link_libraries(nat_test_support_gpu PUBLIC nat_kernels)
add_library(nat_gpu_main OBJECT tests/gpu_main.cpp)
target_link_libraries(nat_gpu_main PUBLIC nat_flags doctest::doctest)

add_custom_target(gpu_tests)
foreach(test IN LISTS NAT_DEVICE_TESTS ITEMS tools_commands_test)
  add_executable(gpu_${test} tests/${test}.cpp $<TARGET_OBJECTS:nat_gpu_main>)
  target_link_libraries(gpu_${test} PRIVATE nat_test_support_gpu nat_method nat_models
                                            doctest::doctest nlohmann_json::nlohmann_json)
  target_compile_definitions(gpu_${test} PRIVATE NAT_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_dependencies(gpu_tests gpu_${test})
  add_test(NAME gpu_${test} COMMAND gpu_${test})
  set_tests_properties(gpu_${test} PROPERTIES LABELS gpu SKIP_RETURN_CODE 77 TIMEOUT 240
    ENVIRONMENT "OMP_WAIT_POLICY=passive")
endforeach()
add_dependencies(gpu_tools_commands_test nat)
