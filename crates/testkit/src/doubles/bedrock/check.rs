//! What the service refuses of a conversation. The forms of its objects are in its model, and clients check them; what is
//! checked here is what they do not: order, roles, ids, ranges, blank words.

use serde_json::Value;

/// The first mistake of a request of Converse, in the service's words.
pub(super) fn mistake(body: &Value) -> Option<String> {
    system(body).or_else(|| conversation(body)).or_else(|| tools(body)).or_else(|| numbers(body))
}

fn system(body: &Value) -> Option<String> {
    let blocks = body["system"].as_array()?;
    let at = blocks.iter().position(|block| is_blank(&block["text"]))?;
    Some(format!("The text field in the SystemContentBlock object at system.{at} is blank. Add text, and try again."))
}

fn conversation(body: &Value) -> Option<String> {
    let Some(messages) = body["messages"].as_array().filter(|messages| !messages.is_empty()) else {
        return Some("A conversation must have at least one message.".to_owned());
    };
    let (mut open, mut uses_tools): (Vec<&str>, bool) = (Vec::new(), false);
    for (n, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if !["user", "assistant"].contains(&role) {
            return Some(format!(
                "Value at 'messages.{}.member.role' failed to satisfy enum value set: [user, assistant]",
                n + 1
            ));
        }
        if n == 0 && role != "user" {
            return Some("A conversation must start with a user message.".to_owned());
        }
        if n > 0 && messages[n - 1]["role"] == message["role"] {
            return Some("A conversation must alternate between user and assistant roles.".to_owned());
        }
        let Some(blocks) = message["content"].as_array().filter(|blocks| !blocks.is_empty()) else {
            return Some(format!("The content field in the Message object at messages.{n} is empty."));
        };
        let results: Vec<_> = blocks.iter().filter_map(|block| block["toolResult"]["toolUseId"].as_str()).collect();
        if let Some(missing) = open.iter().find(|id| !results.contains(id)) {
            return Some(format!(
                "Expected toolResult blocks at messages.{n}.content for the following Ids: {missing}"
            ));
        }
        if results.len() > open.len() {
            return Some(format!(
                "The number of toolResult blocks at messages.{n}.content exceeds the number of toolUse blocks of previous turn."
            ));
        }
        open.clear();
        for (at, block) in blocks.iter().enumerate() {
            if let Some(mistake) = self::block(block, role) {
                return Some(format!("messages.{n}.content.{at}: {mistake}"));
            }
            uses_tools |= block.get("toolUse").is_some() || block.get("toolResult").is_some();
            if let Some(id) = block["toolUse"]["toolUseId"].as_str() {
                if open.contains(&id) {
                    return Some(format!("messages.{n}.content contains duplicate toolUse Ids."));
                }
                open.push(id);
            }
        }
    }
    if let Some(missing) = open.first() {
        return Some(format!("Expected toolResult blocks for the following Ids: {missing}"));
    }
    (uses_tools && body.get("toolConfig").is_none())
        .then(|| "The toolConfig field must be defined when using toolUse and toolResult content blocks.".to_owned())
}

fn block(block: &Value, role: &str) -> Option<String> {
    let members = block.as_object()?;
    let (Some((kind, value)), 1) = (members.iter().next(), members.len()) else {
        return Some("a ContentBlock object has exactly one member.".to_owned());
    };
    match (kind.as_str(), role) {
        ("text", _) if !value.is_string() => Some("text must be a string.".to_owned()),
        ("text", _) if is_blank(value) => Some("The text field in the ContentBlock object is blank.".to_owned()),
        ("toolUse", "assistant") => {
            let is_id = is_name(&value["toolUseId"], b"_.:-");
            let is_good = is_id && is_name(&value["name"], b"_-") && value["input"].is_object();
            (!is_good).then(|| "The format of the value of toolUse is invalid.".to_owned())
        }
        ("toolResult", "user") => {
            let contents = value["content"].as_array();
            let is_good = contents.is_some_and(|contents| contents.iter().all(|one| !is_blank(&one["text"])));
            let status = &value["status"];
            let knows_status = status.is_null() || status == "success" || status == "error";
            (!is_good || !knows_status).then(|| "The format of the value of toolResult is invalid.".to_owned())
        }
        ("text", _) => None,
        (kind, role) => Some(format!("The {kind} block is not allowed with the role {role}.")),
    }
}

fn tools(body: &Value) -> Option<String> {
    let config = body.get("toolConfig")?;
    let Some(tools) = config["tools"].as_array().filter(|tools| !tools.is_empty()) else {
        return Some("toolConfig.tools must have at least one member.".to_owned());
    };
    let mut names = Vec::new();
    for (n, tool) in tools.iter().enumerate() {
        let spec = &tool["toolSpec"];
        if !is_name(&spec["name"], b"_-") || names.contains(&&spec["name"]) {
            return Some(format!("The value at toolConfig.tools.{n}.toolSpec.name is invalid, or there twice."));
        }
        if spec.get("description").is_some_and(|text| text.as_str().is_none_or(str::is_empty)) {
            return Some(format!(
                "The value at toolConfig.tools.{n}.toolSpec.description must have at least 1 character."
            ));
        }
        if spec["inputSchema"]["json"]["type"] != "object" {
            return Some(format!(
                "The value at toolConfig.tools.{n}.toolSpec.inputSchema.json.type must be one of the following: object."
            ));
        }
        names.push(&spec["name"]);
    }
    let choice = config.get("toolChoice")?;
    let is_known =
        match choice.as_object().filter(|members| members.len() == 1).and_then(|members| members.iter().next()) {
            Some((kind, _)) if kind == "auto" || kind == "any" => true,
            Some((kind, value)) if kind == "tool" => names.contains(&&value["name"]),
            _ => false,
        };
    (!is_known)
        .then(|| "The value at toolConfig.toolChoice is invalid, or names no tool of toolConfig.tools.".to_owned())
}

fn numbers(body: &Value) -> Option<String> {
    let config = body.get("inferenceConfig")?;
    if config.get("maxTokens").is_some_and(|value| value.as_i64().is_none_or(|value| value < 1)) {
        return Some("Value at 'inferenceConfig.maxTokens' failed to satisfy constraint: Member must have value greater than or equal to 1".to_owned());
    }
    for name in ["temperature", "topP"] {
        if config.get(name).is_some_and(|value| value.as_f64().is_none_or(|value| !(0.0..=1.0).contains(&value))) {
            return Some(format!(
                "Value at 'inferenceConfig.{name}' failed to satisfy constraint: Member must be from 0 to 1"
            ));
        }
    }
    None
}

fn is_blank(text: &Value) -> bool {
    text.as_str().is_some_and(|text| text.trim().is_empty())
}

fn is_name(name: &Value, beside: &[u8]) -> bool {
    let name = name.as_str().unwrap_or_default();
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || beside.contains(&byte))
}
