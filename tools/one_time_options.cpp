#include "tools/one_time_options.h"

#include <algorithm>
#include <type_traits>

namespace nat::tools {

void OneTimeOptions::add_to(CLI::App& command, const std::vector<std::string>& names) {
  Options table;
  visit_options(table, [&](const char* name, auto& member, const char* description) {
    using Value = std::remove_reference_t<decltype(member)>;
    if (std::find(names.begin(), names.end(), name) == names.end()) return;
    const std::string text = str(description, "; if not given that of the run");
    CLI::Option* option = command.add_option(str("--", name), text);
    option->type_name(CLI::detail::type_name<Value>());
    option->transform(CLI::Validator(normalize_value<Value>, ""));
    given_[name] = option;
  });
}

Options OneTimeOptions::instead_of(Options run) const {
  visit_options(run, [&](const char* name, auto& member, const char*) {
    using Value = std::remove_reference_t<decltype(member)>;
    const auto option = given_.find(name);
    if (option == given_.end() || option->second->count() == 0) return;
    member = option->second->as<Value>();
  });
  Options values = run;
  values.out = Options().out;  // a run that is not trained may lie in a folder of any name
  validate(values);
  return run;
}

}  // namespace nat::tools
