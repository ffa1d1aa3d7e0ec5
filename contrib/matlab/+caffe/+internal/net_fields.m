function fields = net_fields(description)
% NET_FIELDS  The gateway's description of a net as a struct.

  names = {'number', 'inputs', 'outputs', 'layer_names', 'layer_types', 'blob_names', 'param_counts'};
  fields = cell2struct(reshape(description, [], 1), names, 1);
end
