# Whole networks and training steps on the CUDA kernels: the rooms above kernels once more, and
# their tests with NAT_TEST_DEVICE=cuda.
function(nat_simt_room name room below)
  get_target_property(sources nat_${room} SOURCES)
  list(TRANSFORM sources PREPEND ${PROJECT_SOURCE_DIR}/ REGEX "^[^/]")
  add_library(nat_${name}_simt STATIC ${sources})
  target_link_libraries(nat_${name}_simt PUBLIC nat_${below}_simt)
endfunction()
nat_simt_room(engine engine kernels)
target_link_libraries(nat_engine_simt PRIVATE nlohmann_json::nlohmann_json ZLIB::ZLIB)
nat_simt_room(models models engine)
nat_simt_room(method method engine)

foreach(test engine_execution_test engine_optimizer_test nat_assigner_test nat_targets_test
             nat_classifier_test nat_pools_test nat_trainer_test nat_devices_test)
  set(program simt_${test})
  add_executable(${program} ${PROJECT_SOURCE_DIR}/tests/${test}.cpp
                            $<TARGET_OBJECTS:nat_test_main>)
  target_link_libraries(${program} PRIVATE nat_test_support_simt nat_method_simt nat_models_simt
                                           doctest::doctest nlohmann_json::nlohmann_json)
  target_compile_definitions(${program} PRIVATE NAT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  nat_simt_test(${program} forward ${program})
endforeach()
