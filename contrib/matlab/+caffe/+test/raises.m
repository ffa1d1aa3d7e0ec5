function raises(identifier, pattern, action)
% RAISES  Check that an action raises an error of this identifier, whose message matches a regular expression.

  try
    action();
  catch cause
    assert(strcmp(cause.identifier, identifier), 'identifier %s: %s', cause.identifier, cause.message);
    assert(~isempty(regexp(cause.message, pattern, 'once')), 'message: %s', cause.message);
    return
  end
  error('no error, but %s was expected', identifier);
end
