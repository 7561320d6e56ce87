#include "tools/one_time_options.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "tools/session.h"

namespace nat::tools {

void OneTimeOptions::add_to(CLI::App& command, const std::vector<std::string>& names) {
  Options table;
  visit_options(table, [&](const char* name, auto& member, const char*, const char* description) {
    using Value = std::remove_reference_t<decltype(member)>;
    if (std::find(names.begin(), names.end(), name) == names.end()) return;
    const std::string text = str(description, "; if not given that of the run");
    CLI::Option* option = command.add_option(str("--", name), text);
    option->type_name(CLI::detail::type_name<Value>());
    option->transform(CLI::Validator(normalize_value<Value>, ""));
    given_[name] = option;
  });
}

bool OneTimeOptions::has(const std::string& name) const {
  const auto option = given_.find(name);
  return option != given_.end() && option->second->count() > 0;
}

Options OneTimeOptions::instead_of(Options run) const {
  visit_options(run, [&](const char* name, auto& member, const char*, const char*) {
    using Value = std::remove_reference_t<decltype(member)>;
    if (has(name)) member = given_.at(name)->as<Value>();
  });
  if (has("data")) {
    run.read_from.clear();  // who typed the path need not be told where it stands
    run = with_absolute_data(std::move(run));
  }
  Options values = run;
  values.out = Options().out;  // a run that is not trained may lie in a folder of any name
  validate(values);
  return run;
}

}  // namespace nat::tools
